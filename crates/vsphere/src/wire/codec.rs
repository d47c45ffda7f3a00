//! How typed values become elements and come back.
//!
//! [`Value`] is one value (a scalar, a data object, a choice), [`Slot`] is a place for it (exactly
//! one, an optional one, a list) and knows how often its element may stand. Order is that of the
//! declaration: base type first, then own fields.

use super::element::{Element, Namespace, XsiType};
use super::version::ApiVersion;

/// Name of a type as `xsi:type` would say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// True for a scalar of XML Schema.
    pub schema: bool,
    /// Local name.
    pub name: &'static str,
}

impl TypeName {
    /// A type of vim25.
    pub const fn vim(name: &'static str) -> Self {
        Self { schema: false, name }
    }

    /// A scalar of XML Schema.
    pub const fn xsd(name: &'static str) -> Self {
        Self { schema: true, name }
    }

    /// Returns the attribute that says this type.
    pub fn to_xsi(self) -> XsiType {
        let namespace = if self.schema { Namespace::Schema } else { Namespace::Vim };
        XsiType { namespace, name: self.name.to_owned() }
    }
}

/// What an encoder must know: the version that the other side understands.
#[derive(Clone, Copy, Debug)]
pub struct Encode {
    /// Optional fields newer than this are left out.
    pub version: ApiVersion,
}

/// What a decoder must know, and what it notices.
#[derive(Debug, Default)]
pub struct Decode {
    /// Errors instead of tolerance: wrong order, unknown elements, unknown or missing types.
    pub strict: bool,
    /// Paths of elements that a generated type does not know (`VirtualDisk/newField`).
    pub unknown: Vec<String>,
}

/// A value that is not what its type says. Not retryable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct DecodeError {
    /// Element names from the outermost to the bad one.
    pub path: String,
    /// What is wrong.
    pub what: String,
}

impl DecodeError {
    /// Makes an error at `element`.
    pub fn at(element: &str, what: impl Into<String>) -> Self {
        Self { path: element.to_owned(), what: what.into() }
    }

    /// Puts an outer element before the path.
    #[must_use]
    pub fn inside(self, element: &str) -> Self {
        Self { path: format!("{element}/{}", self.path), ..self }
    }
}

/// One value.
pub trait Value: Sized + Default {
    /// The type's name.
    const TYPE: TypeName;
    /// True where a lenient reader takes the default for a required element that is missing.
    const MAY_BE_MISSING: bool = false;

    /// Puts the value into `element`, whose name is set already. Values of a type with subtypes
    /// also set `xsi:type`.
    fn fill(&self, element: &mut Element, encode: Encode);

    /// Reads the value from `element`.
    ///
    /// # Errors
    /// When the element does not hold such a value.
    fn read(element: &Element, decode: &mut Decode) -> Result<Self, DecodeError>;
}

/// A place in an object or in a call: one value, at most one, or any number.
pub trait Slot: Sized {
    /// Name of the type of one value.
    const TYPE: TypeName;
    /// False when the element may be missing.
    const REQUIRED: bool;
    /// True when the element may be repeated.
    const LIST: bool = false;

    /// Appends the elements.
    fn write(&self, name: &str, out: &mut Vec<Element>, encode: Encode);

    /// Takes the elements of this name.
    ///
    /// A required field that came to its type in a later version than the first may be missing in
    /// the reply of an older server (recorded: `UserSession.extensionSession`); a lenient reader
    /// takes the default then.
    ///
    /// # Errors
    /// When a required one is missing, or one does not hold such a value.
    fn take(name: &str, since: ApiVersion, fields: &mut Fields<'_>, decode: &mut Decode) -> Result<Self, DecodeError>;
}

impl<T: Value> Slot for T {
    const TYPE: TypeName = T::TYPE;
    const REQUIRED: bool = true;

    fn write(&self, name: &str, out: &mut Vec<Element>, encode: Encode) {
        let mut element = Element::new(name);
        self.fill(&mut element, encode);
        out.push(element);
    }

    fn take(name: &str, since: ApiVersion, fields: &mut Fields<'_>, decode: &mut Decode) -> Result<Self, DecodeError> {
        match fields.next(name, decode.strict) {
            Some(element) => T::read(element, decode),
            None if !decode.strict && (T::MAY_BE_MISSING || since > ApiVersion::FIRST) => Ok(T::default()),
            None => Err(DecodeError::at(name, "is required but missing")),
        }
    }
}

impl<T: Value> Slot for Option<T> {
    const TYPE: TypeName = T::TYPE;
    const REQUIRED: bool = false;

    fn write(&self, name: &str, out: &mut Vec<Element>, encode: Encode) {
        if let Some(value) = self {
            value.write(name, out, encode);
        }
    }

    fn take(name: &str, _since: ApiVersion, fields: &mut Fields<'_>, decode: &mut Decode) -> Result<Self, DecodeError> {
        fields.next(name, decode.strict).map(|element| T::read(element, decode)).transpose()
    }
}

impl<T: Value> Slot for Vec<T> {
    const TYPE: TypeName = T::TYPE;
    const REQUIRED: bool = false;
    const LIST: bool = true;

    fn write(&self, name: &str, out: &mut Vec<Element>, encode: Encode) {
        self.iter().for_each(|value| value.write(name, out, encode));
    }

    fn take(name: &str, _since: ApiVersion, fields: &mut Fields<'_>, decode: &mut Decode) -> Result<Self, DecodeError> {
        let mut values = Self::new();
        while let Some(element) = fields.next(name, decode.strict) {
            values.push(T::read(element, decode)?);
        }
        Ok(values)
    }
}

/// The children of an element, taken name by name.
///
/// Taking in declared order walks the children once. A lenient reader also finds elements that stand
/// out of order; for a strict one they stay behind and [`Fields::finish`] reports them.
#[derive(Debug)]
pub struct Fields<'a> {
    owner: &'a str,
    children: &'a [Element],
    taken: Vec<bool>,
    next: usize,
}

impl<'a> Fields<'a> {
    /// Starts at the first child of `element`; `owner` names the type in reports.
    pub fn new(owner: &'a str, element: &'a Element) -> Self {
        Self { owner, children: &element.children, taken: vec![false; element.children.len()], next: 0 }
    }

    /// Takes the next child named `name`.
    fn next(&mut self, name: &str, strict: bool) -> Option<&'a Element> {
        while self.taken.get(self.next) == Some(&true) {
            self.next += 1;
        }
        let in_place = self.children.get(self.next).is_some_and(|child| child.name == name);
        let index = if in_place {
            self.next
        } else if strict {
            return None;
        } else {
            (self.next..self.children.len()).find(|&i| !self.taken[i] && self.children[i].name == name)?
        };
        self.taken[index] = true;
        Some(&self.children[index])
    }

    /// Notes the children that nobody took.
    ///
    /// # Errors
    /// For a strict reader, when there are any: unknown, out of order, or once too often.
    pub fn finish(self, decode: &mut Decode) -> Result<(), DecodeError> {
        for (child, _) in self.children.iter().zip(&self.taken).filter(|(_, taken)| !**taken) {
            if decode.strict {
                return Err(DecodeError::at(&child.name, format!("is unknown to {} or out of order", self.owner)));
            }
            decode.unknown.push(format!("{}/{}", self.owner, child.name));
        }
        Ok(())
    }
}

/// A call: its parameters, and what comes back.
pub trait Method: Sized + Send {
    /// Name on the wire.
    const NAME: &'static str;
    /// Managed type that has the method.
    const ON: &'static str;
    /// API version that brought it.
    const SINCE: ApiVersion;
    /// What the reply holds: `()`, one value, an optional one or a list.
    type Reply: Reply;

    /// Returns the request element, `_this` and parameters in order.
    fn to_element(&self, encode: Encode) -> Element;

    /// Reads the request element.
    ///
    /// # Errors
    /// When it is no such call.
    fn from_element(element: &Element, decode: &mut Decode) -> Result<Self, DecodeError>;
}

/// What a call returns: nothing, or the values in its `returnval` elements.
pub trait Reply: Sized + Send {
    /// Appends the `returnval` elements.
    fn append(&self, out: &mut Vec<Element>, encode: Encode);

    /// Reads the `returnval` elements of a response.
    ///
    /// # Errors
    /// When they do not hold such a reply.
    fn from_response(response: &Element, decode: &mut Decode) -> Result<Self, DecodeError>;
}

impl Reply for () {
    fn append(&self, _out: &mut Vec<Element>, _encode: Encode) {}

    fn from_response(_response: &Element, _decode: &mut Decode) -> Result<Self, DecodeError> {
        Ok(())
    }
}

impl<S: Slot + Send> Reply for S {
    fn append(&self, out: &mut Vec<Element>, encode: Encode) {
        Slot::write(self, RETURN_VALUE, out, encode);
    }

    fn from_response(response: &Element, decode: &mut Decode) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(&response.name, response);
        let value = S::take(RETURN_VALUE, ApiVersion::FIRST, &mut fields, decode)
            .map_err(|error| error.inside(&response.name))?;
        fields.finish(decode)?;
        Ok(value)
    }
}

/// Element that carries a result, repeated for a list.
const RETURN_VALUE: &str = "returnval";
