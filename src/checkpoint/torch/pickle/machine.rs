//! The stack machine that a pickle is a program for.

use std::collections::HashMap;

use super::super::Problem;
use super::{Id, Pickle, Span, Value};

/// The most values of a pickle, and the most on its stack. Those of a model of a hundred thousand tensors and its optimizer are
/// a few millions; at this limit they take half a gigabyte.
const MAX_VALUES: usize = 10_000_000;

/// A pickle being read.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at its open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

/// The values that are made once: they are constants.
const NONE: Id = 0;
const OTHER: Id = 1;

impl<'a> Machine<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            values: vec![Value::None, Value::Other],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    pub fn run(mut self) -> Result<Pickle<'a>, Problem> {
        // Spans are of 32 bits; the archive's reader allows much less.
        if u32::try_from(self.bytes.len()).is_err() {
            return Err(self.damaged());
        }
        loop {
            let [instruction] = self.take_array()?;
            if instruction == b'.' {
                let root = self.pop()?;
                return Ok(Pickle {
                    bytes: self.bytes,
                    values: self.values,
                    root,
                });
            }
            self.step(instruction)?;
            if self
                .values
                .len()
                .max(self.stack.len())
                .max(self.marks.len())
                .max(self.memo.len())
                > MAX_VALUES
            {
                return Err(Problem::PickleTooLong);
            }
        }
    }

    fn step(&mut self, instruction: u8) -> Result<(), Problem> {
        match instruction {
            // PROTO, FRAME: what comes is told by the instructions themselves.
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.pop_to_mark().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'N' => self.constant(NONE),
            // True, false; floats.
            0x88 | 0x89 => self.constant(OTHER),
            b'G' => self.skip(8),
            b'J' | b'K' | b'M' | 0x8a | 0x8b => self.integer(instruction),
            b'X' | 0x8c | 0x8d | b'T' | b'U' | b'B' | b'C' | 0x8e | 0x96 => {
                self.string(instruction)
            }
            b')' | b't' | 0x85..=0x87 => self.tuple(instruction),
            b']' => self.push(Value::List(Vec::new())),
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)
            }
            b'}' => self.push(Value::Map(Vec::new())),
            b'd' => {
                let items = self.pop_to_mark()?;
                let entries = self.pairs(&items)?;
                self.push(Value::Map(entries))
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                let entries = self.pairs(&items)?;
                self.set(entries)
            }
            // A set, items for it, a frozen set.
            0x8f => self.push(Value::Other),
            0x90 => self.pop_to_mark().map(drop),
            0x91 => {
                self.pop_to_mark()?;
                self.push(Value::Other)
            }
            b'c' | 0x93 => self.named(instruction),
            // REDUCE, NEWOBJ, NEWOBJ_EX, BUILD.
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.called(function, arguments)
            }
            0x92 => {
                let (_, arguments, function) = (self.pop()?, self.pop()?, self.pop()?);
                self.called(function, arguments)
            }
            // The state of an object: its attributes. Mappings have their entries by other instructions.
            b'b' => self.pop().map(drop),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(instruction),
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }
            _ => Err(Problem::Instruction {
                instruction,
                at: self.at - 1,
            }),
        }
    }

    fn integer(&mut self, instruction: u8) -> Result<(), Problem> {
        let number = match instruction {
            b'J' => i64::from(i32::from_le_bytes(self.take_array()?)),
            b'K' => self.take_array::<1>()?[0].into(),
            b'M' => u16::from_le_bytes(self.take_array()?).into(),
            _ => {
                let length = match instruction {
                    0x8a => self.take_array::<1>()?[0].into(),
                    _ => u32::from_le_bytes(self.take_array()?) as usize,
                };
                let span = self.take(length)?;
                let Some(number) = little_endian(&self.bytes[span.0 as usize..span.1 as usize])
                else {
                    return self.constant(OTHER);
                };
                number
            }
        };
        self.push(Value::Int(number))
    }

    fn string(&mut self, instruction: u8) -> Result<(), Problem> {
        let length = match instruction {
            0x8c | b'U' | b'C' => self.take_array::<1>()?[0].into(),
            b'X' | b'T' | b'B' => u32::from_le_bytes(self.take_array()?) as usize,
            _ => usize::try_from(u64::from_le_bytes(self.take_array()?)).unwrap_or(usize::MAX),
        };
        let span = self.take(length)?;
        match instruction {
            b'B' | b'C' | 0x8e | 0x96 => self.constant(OTHER),
            _ => self.push(Value::Text(span)),
        }
    }

    fn tuple(&mut self, instruction: u8) -> Result<(), Problem> {
        let items = match instruction {
            b')' => Vec::new(),
            b't' => self.pop_to_mark()?,
            _ => {
                let count = usize::from(instruction - 0x84);
                let start = self
                    .stack
                    .len()
                    .checked_sub(count)
                    .filter(|&start| start >= self.floor());
                let start = start.ok_or_else(|| self.damaged())?;
                self.stack.split_off(start)
            }
        };
        self.push(Value::Tuple(items.into()))
    }

    /// GLOBAL has module and name as lines, STACK_GLOBAL as the two texts on top of the stack.
    fn named(&mut self, instruction: u8) -> Result<(), Problem> {
        if instruction == b'c' {
            let (module, name) = (self.line()?, self.line()?);
            return self.push(Value::Global(module, name));
        }
        let (name, module) = (self.pop()?, self.pop()?);
        match (&self.values[module as usize], &self.values[name as usize]) {
            (&Value::Text(module), &Value::Text(name)) => self.push(Value::Global(module, name)),
            _ => Err(self.damaged()),
        }
    }

    fn memo(&mut self, instruction: u8) -> Result<(), Problem> {
        let number = match instruction {
            b'q' | b'h' => self.take_array::<1>()?[0].into(),
            b'r' | b'j' => u32::from_le_bytes(self.take_array()?),
            _ => self.memo.len() as u32,
        };
        if matches!(instruction, b'h' | b'j') {
            let value = self.memo.get(&number).copied();
            self.stack.push(value.ok_or_else(|| self.damaged())?);
        } else {
            let top = self.top()?;
            self.memo.insert(number, top);
        }
        Ok(())
    }

    fn called(&mut self, function: Id, arguments: Id) -> Result<(), Problem> {
        self.push(Value::Call {
            function,
            arguments,
            entries: Vec::new(),
        })
    }

    /// Appends to the list on top of the stack, or to an object that is one to Python.
    fn append(&mut self, mut items: Vec<Id>) -> Result<(), Problem> {
        let top = self.top()?;
        match &mut self.values[top as usize] {
            Value::List(list) => list.append(&mut items),
            Value::Call { .. } | Value::Other => {}
            _ => return Err(self.damaged()),
        }
        Ok(())
    }

    /// Sets entries of the mapping on top of the stack.
    fn set(&mut self, mut new: Vec<(Id, Id)>) -> Result<(), Problem> {
        let top = self.top()?;
        match &mut self.values[top as usize] {
            Value::Map(entries) | Value::Call { entries, .. } => entries.append(&mut new),
            _ => return Err(self.damaged()),
        }
        Ok(())
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, Problem> {
        let pairs = items.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(self.damaged());
        }
        Ok(pairs.map(|pair| (pair[0], pair[1])).collect())
    }

    fn push(&mut self, value: Value) -> Result<(), Problem> {
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
        Ok(())
    }

    fn constant(&mut self, id: Id) -> Result<(), Problem> {
        self.stack.push(id);
        Ok(())
    }

    fn skip(&mut self, length: usize) -> Result<(), Problem> {
        self.take(length)?;
        self.constant(OTHER)
    }

    /// The height under which nothing may be taken off the stack: it belongs to before the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id, Problem> {
        let items = &self.stack[self.floor().min(self.stack.len())..];
        items.last().copied().ok_or_else(|| self.damaged())
    }

    fn pop(&mut self) -> Result<Id, Problem> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Problem> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.damaged()),
        }
    }

    fn take(&mut self, length: usize) -> Result<Span, Problem> {
        if length > self.bytes.len() - self.at {
            return Err(self.damaged());
        }
        let start = self.at;
        self.at += length;
        Ok((start as u32, self.at as u32))
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (start, _) = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[start as usize..][..N]);
        Ok(array)
    }

    /// A line's text, without its end.
    fn line(&mut self) -> Result<Span, Problem> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let (start, end) = self.take(length.ok_or_else(|| self.damaged())?)?;
        self.at += 1;
        Ok((start, end))
    }

    fn damaged(&self) -> Problem {
        Problem::Pickle { at: self.at }
    }
}

/// A two's complement number, if it is of at most eight bytes.
fn little_endian(bytes: &[u8]) -> Option<i64> {
    let sign = bytes
        .last()
        .map_or(0, |&last| if last >= 0x80 { 0xff } else { 0 });
    let mut whole = [sign; 8];
    whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(whole))
}
