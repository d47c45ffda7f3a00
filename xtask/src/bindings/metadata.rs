//! Reads pyvmomi's declarations, which are Python calls with literal arguments, one per line.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// All types, by their VMODL name (`vim.vm.device.VirtualDisk`).
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) data: BTreeMap<String, DataType>,
    pub(super) managed: BTreeMap<String, ManagedType>,
    pub(super) enums: BTreeMap<String, EnumType>,
    /// VMODL version name → API version as it stands in SOAPAction.
    pub(super) versions: BTreeMap<String, String>,
}

/// A data object type.
#[derive(Clone, Debug)]
pub(super) struct DataType {
    /// Name on the wire.
    pub(super) wire: String,
    /// VMODL name of the base type.
    pub(super) base: String,
    pub(super) fields: Vec<Field>,
}

/// A managed object type.
#[derive(Clone, Debug)]
pub(super) struct ManagedType {
    pub(super) wire: String,
    pub(super) base: String,
    pub(super) properties: Vec<Field>,
    pub(super) methods: Vec<Method>,
}

/// An enumeration.
#[derive(Clone, Debug)]
pub(super) struct EnumType {
    pub(super) wire: String,
    pub(super) values: Vec<String>,
}

/// A field, property or parameter.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    /// VMODL type name; `[]` at the end marks a list.
    pub(super) kind: String,
    /// VMODL version name.
    pub(super) since: String,
    pub(super) optional: bool,
    pub(super) secret: bool,
    /// True where the wire carries the key of an object in place of the object.
    pub(super) link: bool,
}

/// A method of a managed object type.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub(super) wire: String,
    pub(super) since: String,
    pub(super) parameters: Vec<Field>,
    /// VMODL type of what the call itself returns (a task for `…_Task`).
    pub(super) result: String,
    pub(super) result_optional: bool,
}

/// A Python literal.
#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Text(String),
    Flags(Vec<String>),
    None,
    List(Vec<Self>),
}

/// Reads all declarations of `text`; lines that are none are passed over.
pub(super) fn parse(text: &str) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    for (number, line) in text.lines().enumerate() {
        let Some((function, rest)) = line.split_once('(') else { continue };
        let declares = ["CreateDataType", "CreateManagedType", "CreateEnumType", "AddVersion"];
        if !declares.contains(&function) {
            continue;
        }
        let mut cursor = Cursor { rest };
        let arguments = cursor.list(')').with_context(|| format!("line {}", number + 1))?;
        declare(&mut metadata, function, &arguments).with_context(|| format!("line {}", number + 1))?;
    }
    add_built_in(&mut metadata);
    Ok(metadata)
}

fn declare(metadata: &mut Metadata, function: &str, arguments: &[Literal]) -> Result<()> {
    let text = |index: usize| arguments.get(index).map(Literal::text).context("too few arguments")?;
    let name = text(0)?.to_owned();
    match function {
        "AddVersion" => {
            if text(1)? == "vim25" {
                metadata.versions.insert(name, text(2)?.to_owned());
            }
        }
        "CreateEnumType" => {
            let values = arguments[3].items().iter().map(|v| Ok(v.text()?.to_owned())).collect::<Result<_>>()?;
            metadata.enums.insert(name, EnumType { wire: text(1)?.to_owned(), values });
        }
        "CreateDataType" => {
            let fields = arguments[4].items().iter().map(field).collect::<Result<_>>()?;
            let entry = DataType { wire: text(1)?.to_owned(), base: text(2)?.to_owned(), fields };
            metadata.data.insert(name, entry);
        }
        _ => {
            let properties = arguments[4].items().iter().map(field).collect::<Result<_>>()?;
            let methods = arguments[5].items().iter().map(method).collect::<Result<_>>()?;
            let (wire, base) = (text(1)?.to_owned(), text(2)?.to_owned());
            metadata.managed.insert(name, ManagedType { wire, base, properties, methods });
        }
    }
    Ok(())
}

fn field(literal: &Literal) -> Result<Field> {
    let [name, kind, since, flags, ..] = literal.items() else { bail!("a field needs four items") };
    Ok(Field {
        name: name.text()?.to_owned(),
        kind: kind.text()?.to_owned(),
        since: since.text()?.to_owned(),
        optional: flags.has_flag("F_OPTIONAL"),
        secret: flags.has_flag("F_SECRET"),
        link: flags.has_flag("F_LINK") || flags.has_flag("F_LINKABLE"),
    })
}

fn method(literal: &Literal) -> Result<Method> {
    let [_, wire, since, parameters, result, ..] = literal.items() else { bail!("a method needs five items") };
    let [flags, result, _] = result.items() else { bail!("a method's result needs three items") };
    Ok(Method {
        wire: wire.text()?.to_owned(),
        since: since.text()?.to_owned(),
        parameters: parameters.items().iter().map(field).collect::<Result<_>>()?,
        result: result.text()?.to_owned(),
        result_optional: flags.has_flag("F_OPTIONAL"),
    })
}

/// Adds the types that pyvmomi makes in code instead of declaring them.
fn add_built_in(metadata: &mut Metadata) {
    let optional = |name: &str, kind: &str| Field {
        name: name.to_owned(),
        kind: kind.to_owned(),
        since: "vmodl.version.version1".to_owned(),
        optional: true,
        secret: false,
        link: false,
    };
    let mut add = |vmodl: &str, wire: &str, base: &str, fields: Vec<Field>| {
        metadata.data.insert(vmodl.to_owned(), DataType { wire: wire.to_owned(), base: base.to_owned(), fields });
    };
    let cause = optional("faultCause", "vmodl.LocalizedMethodFault");
    let messages = optional("faultMessage", "vmodl.LocalizableMessage[]");
    add("vmodl.MethodFault", "MethodFault", "vmodl.DynamicData", vec![cause, messages]);
    add("vmodl.RuntimeFault", "RuntimeFault", "vmodl.MethodFault", Vec::new());
    let fault = Field { optional: false, ..optional("fault", "vmodl.MethodFaultObject") };
    let text = optional("localizedMessage", "string");
    add("vmodl.LocalizedMethodFault", "LocalizedMethodFault", "vmodl.DynamicData", vec![fault, text]);
}

impl Literal {
    fn text(&self) -> Result<&str> {
        match self {
            Self::Text(text) => Ok(text),
            other => bail!("{other:?} is no string"),
        }
    }

    fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    fn has_flag(&self, name: &str) -> bool {
        matches!(self, Self::Flags(flags) if flags.iter().any(|flag| flag == name))
    }
}

/// Reads literals from the front of a line.
struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn list(&mut self, close: char) -> Result<Vec<Literal>> {
        let mut items = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest;
                return Ok(items);
            }
            items.push(self.literal()?);
            self.rest = self.rest.trim_start();
            self.rest = self.rest.strip_prefix(',').unwrap_or(self.rest);
        }
    }

    fn literal(&mut self) -> Result<Literal> {
        let first = self.rest.chars().next().context("the line ends too early")?;
        self.rest = match first {
            '"' | '[' | '(' => &self.rest[1..],
            _ => self.rest,
        };
        match first {
            '[' => Ok(Literal::List(self.list(']')?)),
            '(' => Ok(Literal::List(self.list(')')?)),
            '"' => {
                let (text, rest) = self.rest.split_once('"').context("a string has no end")?;
                self.rest = rest;
                Ok(Literal::Text(text.to_owned()))
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Literal> {
        let end = self.rest.find([',', ')', ']']).context("the line ends too early")?;
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word.trim() {
            "None" => Ok(Literal::None),
            "" => bail!("an item is empty"),
            word => Ok(Literal::Flags(word.split('|').map(|flag| flag.trim().to_owned()).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_keeps_order_flags_and_version() {
        let line = "CreateDataType(\"vim.X\", \"X\", \"vmodl.DynamicData\", \"vim.version.version1\", [(\"b\", \"string\", \
                    \"vim.version.version12\", F_OPTIONAL | F_SECRET), (\"a\", \"int[]\", \"vim.version.version1\", 0)])";
        let metadata = parse(line).unwrap();
        let fields = &metadata.data["vim.X"].fields;
        assert_eq!(fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert!(fields[0].optional && fields[0].secret && !fields[1].optional);
        assert_eq!(fields[1].kind, "int[]");
        assert_eq!(fields[0].since, "vim.version.version12");
    }

    #[test]
    fn a_cut_line_is_an_error() {
        assert!(parse("CreateDataType(\"vim.X\", \"X").is_err());
    }
}
