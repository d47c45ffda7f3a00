//! The wire form of vim25: SOAP text ⇄ element tree ⇄ typed values.
//!
//! ```text
//!  text ──parse──► Element ──Value::read──► typed value
//!  text ◄─to_xml── Element ◄─Value::fill─── typed value
//! ```
//!
//! The tree in between keeps what a value of unknown type needs ([`Any`]), and lets one small codec
//! serve both sides: the client reads leniently (unknown elements are skipped and noted), the
//! simulator strictly (order, unknown elements, missing `xsi:type` are faults).
//!
//! The types and calls themselves are generated ([`generated`]); `cargo xtask bindings` makes them
//! from pyvmomi's metadata. What this module does not do: no HTTP, no sessions.

mod codec;
mod element;
mod envelope;
pub mod generated;
mod macros;
mod registry;
mod scalar;
mod version;

pub use codec::{Decode, DecodeError, Encode, Fields, Method, Reply, Slot, TypeName, Value};
pub use element::{Element, Limits, Namespace, ParseError, XsiType};
pub use envelope::{
    Fault, Incoming, ResponseError, fault_xml, parse_request, parse_response, request_xml, response_xml,
};
pub use registry::{
    FieldInfo, ManagedInfo, MethodInfo, PropertyInfo, TypeInfo, data_type, data_types, managed_type, managed_types,
    method, methods, property,
};
pub use scalar::{Any, Binary, DateTime, MoRef, Secret};
pub use version::ApiVersion;
