//! HTTP/1 between a hostile client and a hostile server: heads are read strictly and written anew, so whoever is behind
//! us reads them as we did. Bodies pass as they are; only their end is found.
//!
//! There is one request for a connection. WebSockets and HTTP/2 go through CONNECT; in plain HTTP nothing is upgraded.

mod answer;
mod chunked;
mod fault;
mod head;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use answer::answer;
pub use chunked::Chunked;
#[cfg(test)]
use fault::Cause;
pub use fault::{Fault, Side};
#[cfg(test)]
use head::LARGEST_HEAD;
pub use request::{Asked, Body, Request, Target, request};
pub use response::{Response, ResponseBody, response};
