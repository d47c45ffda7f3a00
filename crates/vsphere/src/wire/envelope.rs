//! SOAP 1.1 around calls, replies and faults.

use std::fmt;

use super::codec::{Decode, DecodeError, Encode, Method, Reply, Value};
use super::element::{Element, Limits, Namespace, ParseError, escape_into};
use super::generated::AnyMethodFault;
use super::version::ApiVersion;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
    xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
    xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">";
const TAIL: &str = "</soapenv:Body></soapenv:Envelope>";
const XMLNS: &str = " xmlns=\"urn:vim25\"";

/// A refusal by the server: the SOAP fault with what its detail says.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// `faultcode`, usually `ServerFaultCode`.
    pub code: String,
    /// `faultstring`: a sentence for people, in the session's language; may be empty.
    pub text: String,
    /// The typed fault; `None` when the detail is missing or is no vim25 fault.
    pub detail: Option<AnyMethodFault>,
}

impl Fault {
    /// Makes a fault as servers send it.
    pub fn new(text: impl Into<String>, detail: impl Into<AnyMethodFault>) -> Self {
        Self { code: "ServerFaultCode".to_owned(), text: text.into(), detail: Some(detail.into()) }
    }

    /// Returns the fault's type, for example `NotAuthenticated`; empty when the detail is missing.
    pub fn type_name(&self) -> &str {
        self.detail.as_ref().map_or("", AnyMethodFault::type_name)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.type_name(), self.text.trim()) {
            ("", "") => f.write_str("the server answered with a fault that says nothing"),
            ("", text) => f.write_str(text),
            (name, "") => f.write_str(name),
            (name, text) => write!(f, "{text} ({name})"),
        }
    }
}

impl std::error::Error for Fault {}

/// What came in place of a reply.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The server refused the call.
    #[error(transparent)]
    Fault(Box<Fault>),
    /// The text is no XML that we accept.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The XML is no reply to this call.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// A call as the server's side reads it.
#[derive(Debug)]
pub struct Incoming {
    /// Text of the header `operationID`.
    pub operation_id: Option<String>,
    /// The request element, named as the method.
    pub call: Element,
}

/// Writes a call. `operation_id` appears in the server's logs.
pub fn request_xml<M: Method>(call: &M, operation_id: &str, version: ApiVersion) -> String {
    let mut out = String::from(HEAD);
    out.push_str("<soapenv:Header><operationID>");
    escape_into(operation_id, &mut out);
    out.push_str("</operationID></soapenv:Header><soapenv:Body>");
    push_rooted(&call.to_element(Encode { version }), &mut out);
    out.push_str(TAIL);
    out
}

/// Writes the reply to the method `name`.
pub fn response_xml<R: Reply>(name: &str, reply: &R, version: ApiVersion) -> String {
    let mut element = Element::new(format!("{name}Response"));
    reply.append(&mut element.children, Encode { version });
    body_xml(&element)
}

/// Writes a fault; the HTTP status that goes with it is 500.
pub fn fault_xml(fault: &Fault, version: ApiVersion) -> String {
    let mut out = format!("{HEAD}<soapenv:Body><soapenv:Fault><faultcode>");
    escape_into(&fault.code, &mut out);
    out.push_str("</faultcode><faultstring>");
    escape_into(&fault.text, &mut out);
    out.push_str("</faultstring>");
    if let Some(detail) = &fault.detail {
        let mut element = Element::new(format!("{}Fault", detail.type_name()));
        detail.fill(&mut element, Encode { version });
        out.push_str("<detail>");
        push_rooted(&element, &mut out);
        out.push_str("</detail>");
    }
    out.push_str("</soapenv:Fault>");
    out.push_str(TAIL);
    out
}

/// Reads the reply to a call of `M`.
///
/// # Errors
/// A fault of the server, or text that is no such reply.
pub fn parse_response<M: Method>(text: &str, decode: &mut Decode) -> Result<M::Reply, ResponseError> {
    let element = body(text)?;
    if element.name == "Fault" && element.namespace == Namespace::Soap {
        return Err(ResponseError::Fault(Box::new(fault(&element)?)));
    }
    if element.name.strip_suffix("Response") != Some(M::NAME) {
        return Err(DecodeError::at(&element.name, format!("is no reply to {}", M::NAME)).into());
    }
    Ok(M::Reply::from_response(&element, decode)?)
}

/// Reads a call.
///
/// # Errors
/// When the text is no SOAP envelope.
pub fn parse_request(text: &str, limits: Limits) -> Result<Incoming, ResponseError> {
    let envelope = envelope(text, limits)?;
    let header = envelope.child("Header").and_then(|header| header.child("operationID"));
    let operation_id = header.map(|element| element.text.clone());
    Ok(Incoming { operation_id, call: body_of(envelope)? })
}

fn body_xml(element: &Element) -> String {
    let mut out = format!("{HEAD}<soapenv:Body>");
    push_rooted(element, &mut out);
    out.push_str(TAIL);
    out
}

/// Writes an element that binds the API's namespace for itself and all in it.
fn push_rooted(element: &Element, out: &mut String) {
    let start = out.len();
    element.write_xml(out);
    out.insert_str(start + 1 + element.name.len(), XMLNS);
}

fn envelope(text: &str, limits: Limits) -> Result<Element, ResponseError> {
    let root = Element::parse(text, limits)?;
    if root.name != "Envelope" || root.namespace != Namespace::Soap {
        return Err(DecodeError::at(&root.name, "is no SOAP envelope").into());
    }
    Ok(root)
}

fn body(text: &str) -> Result<Element, ResponseError> {
    body_of(envelope(text, Limits::default())?)
}

fn body_of(envelope: Element) -> Result<Element, ResponseError> {
    let body = envelope.children.into_iter().find(|child| child.name == "Body");
    let content = body.and_then(|body| body.children.into_iter().next());
    content.ok_or_else(|| DecodeError::at("Envelope", "has an empty body").into())
}

fn fault(element: &Element) -> Result<Fault, DecodeError> {
    let text = |name: &str| element.child(name).map(|child| child.text.clone()).unwrap_or_default();
    let detail = element.child("detail").and_then(|detail| detail.children.first());
    let detail = match detail {
        Some(detail) if detail.xsi_type.is_some() => Some(AnyMethodFault::read(detail, &mut Decode::default())?),
        _ => None,
    };
    Ok(Fault { code: text("faultcode"), text: text("faultstring"), detail })
}

#[cfg(test)]
mod tests {
    use super::super::generated::{ExportVm, InvalidLogin, Login, NoPermission, NotAuthenticated};
    use super::super::{MoRef, Secret};
    use super::*;

    const NEWEST: ApiVersion = ApiVersion::NEWEST;

    #[test]
    fn a_call_is_read_back_as_it_was_written() {
        let call = Login {
            this: MoRef::new("SessionManager", "SessionManager"),
            user_name: "a@b".into(),
            password: Secret("p&<ss\"".into()),
            locale: None,
        };
        let incoming = parse_request(&request_xml(&call, "exp-1", NEWEST), Limits::default()).unwrap();
        assert_eq!(incoming.operation_id.as_deref(), Some("exp-1"));
        let mut strict = Decode { strict: true, ..Decode::default() };
        assert_eq!(Login::from_element(&incoming.call, &mut strict).unwrap(), call);
    }

    #[test]
    fn a_strict_reader_refuses_wrong_order_unknown_and_missing_elements() {
        let read = |parameters: &str| {
            let text = format!(
                "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>{parameters}</Login>"
            );
            let element = Element::parse(&text, Limits::default()).unwrap();
            Login::from_element(&element, &mut Decode { strict: true, ..Decode::default() })
        };
        assert!(read("<userName>u</userName><password>p</password>").is_ok());
        for bad in [
            "<password>p</password><userName>u</userName>",
            "<userName>u</userName><password>p</password><x/>",
            "<userName>u</userName>",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fault_keeps_its_type_and_text() {
        let base = NoPermission { privilege_id: Some("System.View".into()), ..NoPermission::default() };
        let detail = NotAuthenticated { base };
        let fault = Fault::new("The session is not authenticated.", detail);
        let error = parse_response::<ExportVm>(&fault_xml(&fault, NEWEST), &mut Decode::default()).unwrap_err();
        let ResponseError::Fault(back) = error else { panic!("{error}") };
        assert_eq!(back.type_name(), "NotAuthenticated");
        assert_eq!(back.to_string(), "The session is not authenticated. (NotAuthenticated)");
        assert!(
            fault_xml(&fault, NEWEST)
                .contains("<NotAuthenticatedFault xmlns=\"urn:vim25\" xsi:type=\"NotAuthenticated\">")
        );
    }

    #[test]
    fn a_fault_of_unknown_type_keeps_its_name() {
        let known = fault_xml(&Fault::new("no", InvalidLogin::default()), NEWEST);
        let unknown = known.replace("InvalidLogin", "BrandNew");
        let error = parse_response::<ExportVm>(&unknown, &mut Decode::default()).unwrap_err();
        let ResponseError::Fault(back) = error else { panic!("{error}") };
        assert_eq!(back.type_name(), "BrandNew");
    }

    #[test]
    fn a_reply_to_another_call_is_an_error() {
        let text = response_xml("Logout", &(), NEWEST);
        assert!(matches!(parse_response::<ExportVm>(&text, &mut Decode::default()), Err(ResponseError::Decode(_))));
    }
}
