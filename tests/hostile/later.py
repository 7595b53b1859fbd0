# Modules that are loaded when they are used.

class Later:
    """A module that is loaded when it is used: half of the time of most attacks."""
    def __init__(self, name, load=lambda module: module):
        self.__dict__.update(name=name, load=load)
    def found(self):
        return self.__dict__.setdefault('module', self.__dict__['load'](__import__(self.__dict__['name'])))
    def __getattr__(self, name):
        return getattr(self.found(), name)

def library(ctypes):
    found = ctypes.CDLL(None, use_errno=True)
    found.syscall.restype = ctypes.c_long
    return found
