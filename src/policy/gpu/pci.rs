//! PCI addresses.

use std::fmt;
use std::str::FromStr;

/// Where a device sits on the PCI bus. Ordered by number, which is the order of indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciAddress {
    /// Domain; may need more than four hexadecimal digits.
    pub domain: u32,
    /// Bus.
    pub bus: u8,
    /// Device on the bus.
    pub device: u8,
    /// Function of the device.
    pub function: u8,
}

/// A text that is no PCI address of the form `0000:17:00.0`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a PCI address such as 0000:17:00.0")]
pub struct PciSyntax(pub String);

impl FromStr for PciAddress {
    type Err = PciSyntax;

    /// Accepts what sysfs and `nvidia-smi` print: a domain of any length, or none for domain 0.
    fn from_str(text: &str) -> Result<Self, PciSyntax> {
        parse(text).ok_or_else(|| PciSyntax(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let (address, function) = text.rsplit_once('.')?;
    let (rest, device) = address.rsplit_once(':')?;
    let (domain, bus) = rest.split_once(':').unwrap_or(("0", rest));
    Some(PciAddress {
        domain: hex(domain)?,
        bus: u8::try_from(hex(bus)?).ok()?,
        device: u8::try_from(hex(device)?).ok().filter(|device| *device < 32)?,
        function: u8::try_from(hex(function)?).ok().filter(|function| *function < 8)?,
    })
}

/// Hexadecimal digits, and no sign before them.
fn hex(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| digits)
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_tools_print_them() {
        let table = [
            ("0000:17:00.0", Some("0000:17:00.0")),
            ("00000000:CA:00.0", Some("0000:ca:00.0")),
            ("17:1f.7", Some("0000:17:1f.7")),
            ("10000:e1:00.0", Some("10000:e1:00.0")),
            ("0000:17:20.0", None),
            ("0000:17:00.8", None),
            ("0000:+7:00.0", None),
            ("0000:100:00.0", None),
            ("17", None),
            ("17:00", None),
            (":17:00.0", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(text.parse().ok().map(|bus: PciAddress| bus.to_string()).as_deref(), want, "{text}");
        }
    }
}
