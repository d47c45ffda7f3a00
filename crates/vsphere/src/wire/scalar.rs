//! Scalars, references, and values whose type only the wire knows.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::codec::{Decode, DecodeError, Encode, TypeName, Value};
use super::element::{Element, XsiType};

/// A managed object reference: the type and the id of an object on the server.
///
/// Ids are opaque. Those that start with `session[` end with the session that made them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MoRef {
    /// Managed type, for example `VirtualMachine`.
    pub kind: String,
    /// Id, for example `vm-62`.
    pub id: String,
}

impl MoRef {
    /// Makes a reference.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

impl fmt::Display for MoRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

impl Value for MoRef {
    const TYPE: TypeName = TypeName::vim("ManagedObjectReference");

    fn fill(&self, element: &mut Element, _encode: Encode) {
        element.managed_type = Some(self.kind.clone());
        element.text.clone_from(&self.id);
    }

    fn read(element: &Element, decode: &mut Decode) -> Result<Self, DecodeError> {
        match &element.managed_type {
            None if decode.strict => Err(DecodeError::at(&element.name, "is a reference without the attribute `type`")),
            kind => Ok(Self { kind: kind.clone().unwrap_or_default(), id: element.text.trim().to_owned() }),
        }
    }
}

/// A text that must not be shown: `Debug` prints stars.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A point in time in XML Schema's form, kept as the server wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime(pub String);

/// Bytes, base64 on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binary(pub Vec<u8>);

/// A value of any type (`xsd:anyType`), kept as its element until somebody knows what to expect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Any(Element);

impl Any {
    /// Wraps one value and says its type.
    pub fn new<T: Value>(value: &T, encode: Encode) -> Self {
        let mut element = Element { xsi_type: Some(T::TYPE.to_xsi()), ..Element::default() };
        value.fill(&mut element, encode);
        Self(element)
    }

    /// Wraps a list: `xsi:type="ArrayOfX"` with one child named after the type for each item, which says
    /// its type again, as vCenters do.
    pub fn list<T: Value>(values: &[T], encode: Encode) -> Self {
        let mut element = Element { xsi_type: Some(array_type::<T>()), ..Element::default() };
        for value in values {
            let mut item = Element::new(T::TYPE.name);
            value.fill(&mut item, encode);
            item.xsi_type.get_or_insert_with(|| T::TYPE.to_xsi());
            element.children.push(item);
        }
        Self(element)
    }

    /// Returns the name of the type that the sender gave, for example `VirtualMachineConfigInfo`.
    pub fn type_name(&self) -> Option<&str> {
        self.0.xsi_type.as_ref().map(|xsi| xsi.name.as_str())
    }

    /// Returns true when nothing was sent at all.
    pub fn is_unset(&self) -> bool {
        self.0 == Element::default()
    }

    /// Returns the element as it came.
    pub fn element(&self) -> &Element {
        &self.0
    }

    /// Wraps an element that came from elsewhere; its name means nothing.
    pub fn from_element(element: Element) -> Self {
        Self(element)
    }

    /// Reads one value of the type that the caller expects.
    ///
    /// # Errors
    /// When it is none.
    pub fn get<T: Value>(&self, decode: &mut Decode) -> Result<T, DecodeError> {
        T::read(&self.0, decode)
    }

    /// Reads a list of the type that the caller expects.
    ///
    /// # Errors
    /// When an item is none.
    pub fn get_list<T: Value>(&self, decode: &mut Decode) -> Result<Vec<T>, DecodeError> {
        self.0.children.iter().map(|item| T::read(item, decode)).collect()
    }
}

/// Returns the type of a list of `T` in a place of any type.
fn array_type<T: Value>() -> XsiType {
    let mut characters = T::TYPE.name.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    TypeName::vim("").to_xsi_named(format!("ArrayOf{first}{}", characters.as_str()))
}

impl TypeName {
    fn to_xsi_named(self, name: String) -> XsiType {
        XsiType { name, ..self.to_xsi() }
    }
}

impl Value for Any {
    const TYPE: TypeName = TypeName::xsd("anyType");
    // vcsim sends `<propSet>` without `<val>` for a property that is unset.
    const MAY_BE_MISSING: bool = true;

    fn fill(&self, element: &mut Element, _encode: Encode) {
        let name = std::mem::take(&mut element.name);
        *element = Element { name, ..self.0.clone() };
    }

    fn read(element: &Element, decode: &mut Decode) -> Result<Self, DecodeError> {
        if decode.strict && element.xsi_type.is_none() {
            return Err(DecodeError::at(&element.name, "is of any type and needs `xsi:type`"));
        }
        Ok(Self(element.clone()))
    }
}

impl<T: Value> Value for Box<T> {
    const TYPE: TypeName = T::TYPE;

    fn fill(&self, element: &mut Element, encode: Encode) {
        (**self).fill(element, encode);
    }

    fn read(element: &Element, decode: &mut Decode) -> Result<Self, DecodeError> {
        T::read(element, decode).map(Self::new)
    }
}

impl Value for String {
    const TYPE: TypeName = TypeName::xsd("string");

    fn fill(&self, element: &mut Element, _encode: Encode) {
        element.text.clone_from(self);
    }

    fn read(element: &Element, _decode: &mut Decode) -> Result<Self, DecodeError> {
        Ok(element.text.clone())
    }
}

impl Value for Secret {
    const TYPE: TypeName = TypeName::xsd("string");

    fn fill(&self, element: &mut Element, _encode: Encode) {
        element.text.clone_from(&self.0);
    }

    fn read(element: &Element, _decode: &mut Decode) -> Result<Self, DecodeError> {
        Ok(Self(element.text.clone()))
    }
}

impl Value for bool {
    const TYPE: TypeName = TypeName::xsd("boolean");

    fn fill(&self, element: &mut Element, _encode: Encode) {
        element.text = self.to_string();
    }

    fn read(element: &Element, _decode: &mut Decode) -> Result<Self, DecodeError> {
        match element.text.trim() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(DecodeError::at(&element.name, "is no boolean")),
        }
    }
}

macro_rules! numbers {
    ($($rust:ident $wire:literal $what:literal,)*) => {$(
        impl Value for $rust {
            const TYPE: TypeName = TypeName::xsd($wire);

            fn fill(&self, element: &mut Element, _encode: Encode) {
                element.text = self.to_string();
            }

            fn read(element: &Element, _decode: &mut Decode) -> Result<Self, DecodeError> {
                element.text.trim().parse().map_err(|_| DecodeError::at(&element.name, concat!("is no ", $what)))
            }
        }
    )*};
}

numbers! {
    i8 "byte" "8-bit integer",
    i16 "short" "16-bit integer",
    i32 "int" "32-bit integer",
    i64 "long" "64-bit integer",
    f32 "float" "number",
    f64 "double" "number",
}

impl Value for DateTime {
    const TYPE: TypeName = TypeName::xsd("dateTime");

    fn fill(&self, element: &mut Element, _encode: Encode) {
        element.text.clone_from(&self.0);
    }

    fn read(element: &Element, _decode: &mut Decode) -> Result<Self, DecodeError> {
        let text = element.text.trim();
        let shape = text.get(..19).is_some_and(|start| {
            start.bytes().enumerate().all(|(index, byte)| match index {
                4 | 7 => byte == b'-',
                10 => byte == b'T',
                13 | 16 => byte == b':',
                _ => byte.is_ascii_digit(),
            })
        });
        if shape { Ok(Self(text.to_owned())) } else { Err(DecodeError::at(&element.name, "is no date and time")) }
    }
}

impl Value for Binary {
    const TYPE: TypeName = TypeName::xsd("base64Binary");

    fn fill(&self, element: &mut Element, _encode: Encode) {
        element.text = BASE64.encode(&self.0);
    }

    fn read(element: &Element, _decode: &mut Decode) -> Result<Self, DecodeError> {
        let text: String = element.text.split_ascii_whitespace().collect();
        BASE64.decode(text).map(Self).map_err(|_| DecodeError::at(&element.name, "is no base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::version::ApiVersion;
    use super::*;

    const ENCODE: Encode = Encode { version: ApiVersion::NEWEST };

    #[test]
    fn a_list_in_any_place_is_named_after_its_items() {
        let any = Any::list(&["a".to_owned(), "b".to_owned()], ENCODE);
        assert_eq!(any.type_name(), Some("ArrayOfString"));
        assert_eq!(any.element().children[0].name, "string");
        assert_eq!(any.get_list::<String>(&mut Decode::default()).unwrap(), ["a", "b"]);
        let any = Any::list(&[MoRef::new("Folder", "group-d1")], ENCODE);
        assert_eq!(any.type_name(), Some("ArrayOfManagedObjectReference"));
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", Secret("hunter2".into())).contains("hunter2"));
    }

    #[test]
    fn booleans_and_times_take_every_form_that_servers_send() {
        let read = |text: &str| bool::read(&Element::with_text("b", text), &mut Decode::default());
        assert_eq!((read("1"), read("false")), (Ok(true), Ok(false)));
        assert!(read("yes").is_err());
        let time = |text: &str| DateTime::read(&Element::with_text("t", text), &mut Decode::default());
        for text in ["2026-11-24T08:00:00Z", "2026-11-24T08:00:00.123456789+01:00"] {
            assert!(time(text).is_ok(), "{text}");
        }
        assert!(time("yesterday").is_err());
    }
}
