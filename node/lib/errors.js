/** The sandbox could not be made, so the command has not run. */
export class SandboxError extends Error {
  name = "SandboxError";

  constructor(message, { hint = null, stderr = null, outcome = null } = {}) {
    super(hint ? `${message}\nhint: ${hint}` : message);
    this.hint = hint;
    this.stderr = stderr;
    this.outcome = outcome;
  }
}

/** What ringfence printed, as an error. */
export function told(stderr, fallback) {
  const [message, hint] = stderr.trim().replace(/^error: /, "").split("\n\nhint: ", 2);
  return new SandboxError(message || fallback, { hint: hint ?? null, stderr });
}
