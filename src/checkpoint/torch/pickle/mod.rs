//! The pickle that describes what a `torch.save` file holds, read as data: nothing that it names is looked up, called or built.
//!
//! A pickle is a program for a stack machine (Python's `pickletools` documents its instructions, PEP 307, 3154 and 574 its
//! versions). Here every instruction makes one value that records what the program asked for. So memory is bounded by the
//! program's length, whatever it says, and values that hold themselves do no harm: a value refers to others by number.

mod machine;

use std::collections::HashMap;

use super::Problem;
use machine::Machine;

/// The longest name of a tensor, class or function, in bytes. A pickle can name the same text any number of times, so that
/// longer ones would take more time and memory than its length allows for.
const MAX_NAME: usize = 4096;

/// The number of a value in [`Pickle::values`].
pub(super) type Id = u32;

/// A range of the pickle's bytes.
type Span = (u32, u32);

/// What one instruction made.
#[derive(Debug)]
enum Value {
    None,
    Int(i64),
    /// Something of which only that it is there matters: a float, a byte string, a large integer, a set.
    Other,
    Text(Span),
    Tuple(Box<[Id]>),
    List(Vec<Id>),
    Map(Vec<(Id, Id)>),
    /// A class or function, by its module and name.
    Global(Span, Span),
    /// What a function would return for these arguments, and the entries set in it afterwards.
    Call {
        function: Id,
        arguments: Id,
        entries: Vec<(Id, Id)>,
    },
    /// Something kept outside of the pickle.
    Persistent(Id),
}

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    /// The value of the whole.
    pub root: Id,
}

impl<'a> Pickle<'a> {
    /// Reads the first pickle in some bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Problem> {
        Machine::new(bytes).run()
    }

    /// The entries of a mapping, in their order: of a `dict` or of an object that entries were set in, as an `OrderedDict`.
    pub fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.value(id) {
            Value::Map(entries) => Some(entries),
            Value::Call { entries, .. } => Some(entries),
            _ => None,
        }
    }

    /// A text of at most [`MAX_NAME`] bytes: a name or a key.
    pub fn text(&self, id: Id) -> Option<&'a str> {
        match *self.value(id) {
            Value::Text(span) if is_name(span) => self.utf8(span),
            _ => None,
        }
    }

    /// A text of at most this many bytes.
    pub fn long_text(&self, id: Id, most: usize) -> Option<&'a str> {
        match *self.value(id) {
            Value::Text((start, end)) if (end - start) as usize <= most => self.utf8((start, end)),
            _ => None,
        }
    }

    /// Bytes of the pickle.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// An integer that is not negative.
    pub fn size(&self, id: Id) -> Option<usize> {
        match *self.value(id) {
            Value::Int(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }

    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The module and the name of a class or function.
    pub fn global(&self, id: Id) -> Option<(&'a str, &'a str)> {
        match *self.value(id) {
            Value::Global(module, name) if is_name(module) && is_name(name) => {
                Some((self.utf8(module)?, self.utf8(name)?))
            }
            _ => None,
        }
    }

    pub fn list(&self, id: Id) -> Option<&[Id]> {
        match self.value(id) {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The last entry of a mapping under this key.
    pub fn entry(&self, id: Id, key: &str) -> Option<Id> {
        let entries = self.entries(id)?.iter().rev();
        let mut values = entries.filter(|&&(own, _)| self.text(own) == Some(key));
        values.next().map(|&(_, value)| value)
    }

    /// The function of a call and its arguments.
    pub fn call(&self, id: Id) -> Option<((&'a str, &'a str), &[Id])> {
        match *self.value(id) {
            Value::Call {
                function,
                arguments,
                ..
            } => Some((self.global(function)?, self.tuple(arguments)?)),
            _ => None,
        }
    }

    pub fn persistent(&self, id: Id) -> Option<Id> {
        match *self.value(id) {
            Value::Persistent(id) => Some(id),
            _ => None,
        }
    }

    /// The values that are calls.
    pub fn calls(&self) -> impl Iterator<Item = Id> {
        let all = 0..self.values.len() as Id;
        all.filter(|&id| matches!(self.value(id), Value::Call { .. }))
    }

    /// The values that are kept outside of the pickle, each with what identifies it.
    pub fn persistents(&self) -> impl Iterator<Item = (Id, Id)> {
        let all = 0..self.values.len() as Id;
        all.filter_map(|id| Some((id, self.persistent(id)?)))
    }

    /// How often each value stands in a mapping, list or tuple.
    pub fn uses(&self) -> HashMap<Id, usize> {
        let mut uses = HashMap::new();
        for value in &self.values {
            let (items, entries): (&[Id], &[(Id, Id)]) = match value {
                Value::Tuple(items) => (items, &[]),
                Value::List(items) => (items, &[]),
                Value::Map(entries) | Value::Call { entries, .. } => (&[], entries),
                _ => continue,
            };
            let held = items.iter().chain(entries.iter().map(|(_, value)| value));
            held.for_each(|&id| *uses.entry(id).or_default() += 1);
        }
        uses
    }

    /// All classes and functions that it names, `module.name`, each as often as it is named.
    pub fn globals(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        (0..self.values.len() as Id).filter_map(|id| self.global(id))
    }

    fn value(&self, id: Id) -> &Value {
        &self.values[id as usize]
    }

    fn utf8(&self, (start, end): Span) -> Option<&'a str> {
        std::str::from_utf8(&self.bytes[start as usize..end as usize]).ok()
    }
}

/// Whether a text is short enough for a name.
fn is_name((start, end): Span) -> bool {
    (end - start) as usize <= MAX_NAME
}
