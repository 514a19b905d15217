//! The one thread that writes an output, while others compute what changes.
//!
//! One, because writers of a file wait for each other in the kernel: two at once took five times as long as one
//! (575 MB on ext4, Linux 6.18).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::checkpoint::{Error, PIECE_BYTES, Piece};
use crate::meter::Meter;

use super::copy::Copier;
use super::files::DraftFiles;
use super::written::Written;

/// Buffers for changes on their way.
const BUFFERS: usize = 8;

#[derive(Debug)]
enum Order {
    /// The same bytes to each of these ranges.
    Write(Vec<Written>, Vec<u8>),
    Copy(Piece),
}

/// How an output comes to hold what does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// All of the source is copied, and changes are written over it: for few changes. Copying need not wait for them.
    First,
    /// Every layer is written as it is after the merge, and the rest is copied: no byte is written twice.
    Between,
}

/// Where changes go to be written. Many threads may use it at once.
#[derive(Debug)]
pub struct Sink<'w> {
    fill: Fill,
    orders: SyncSender<Order>,
    empty: Mutex<Receiver<Vec<u8>>>,
    has_failed: &'w AtomicBool,
    is_given_up: &'w AtomicBool,
}

impl Sink<'_> {
    /// An empty buffer of `PIECE_BYTES` to fill for [`Sink::write`]; waits until one is free. It must be handed in
    /// before the same thread asks for another.
    pub fn buffer(&self) -> Vec<u8> {
        let empty = self.empty.lock().unwrap_or_else(PoisonError::into_inner);
        empty.recv().expect("the writer outlives its sink")
    }

    /// How the output comes to hold what does not change: with [`Fill::First`] only changes need to be handed in.
    pub fn fill(&self) -> Fill {
        self.fill
    }

    /// Has the same bytes written at each of some places, over those of the source if these are copied there. A place is the
    /// number of one of the output's files and an offset in it.
    pub fn write(&self, places: impl IntoIterator<Item = (usize, usize)>, bytes: Vec<u8>) {
        let (length, checksum) = (bytes.len(), crc32fast::hash(&bytes));
        let written = places.into_iter().map(|(shard, start)| Written {
            shard,
            start,
            length,
            checksum,
        });
        self.order(Order::Write(written.collect(), bytes));
    }

    /// Has a piece of the source copied as it is.
    pub fn copy(&self, piece: Piece) {
        self.order(Order::Copy(piece));
    }

    /// Whether writing has failed, so that more work is in vain.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Has the writer stop: the output is not wanted any more.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    fn order(&self, order: Order) {
        let sent = self.orders.send(order);
        assert!(sent.is_ok(), "the writer outlives its sink");
    }
}

/// Runs `work` beside a writer that follows its orders first, and copies pieces when there are none. Returns the result of
/// `work` and what was written.
///
/// # Errors
///
/// That of the writer, if it has one: work that was cut short for it has no result.
pub(super) fn write_while<R>(
    files: &DraftFiles<'_>,
    meter: &dyn Meter,
    fill: Fill,
    copied: Vec<Piece>,
    work: impl FnOnce(&Sink<'_>) -> R,
) -> Result<(R, Vec<Written>), Error> {
    // Room for as many orders as there are buffers: whoever holds one can hand it in without waiting.
    let (order, orders) = sync_channel(BUFFERS);
    let (recycled, empty) = channel();
    for _ in 0..BUFFERS {
        let _ = recycled.send(Vec::with_capacity(PIECE_BYTES));
    }
    let (has_failed, is_given_up) = (AtomicBool::new(false), AtomicBool::new(false));
    let sink = Sink {
        fill,
        orders: order,
        empty: Mutex::new(empty),
        has_failed: &has_failed,
        is_given_up: &is_given_up,
    };
    let mut writer = Writer {
        files,
        meter,
        recycled,
        is_given_up: &is_given_up,
        rest: copied.into(),
        copier: Copier::default(),
        written: Vec::new(),
    };
    thread::scope(|scope| {
        let has_failed = &has_failed;
        let write = move || {
            let done = writer.run(&orders);
            if done.is_err() {
                has_failed.store(true, Ordering::Relaxed);
                // So that no work waits for a buffer.
                for order in orders {
                    writer.recycle(order);
                }
            }
            done.map(|()| writer.written)
        };
        let writer = thread::Builder::new().spawn_scoped(scope, write);
        let writer = writer.map_err(|error| files.no_writer(error))?;
        let result = work(&sink);
        drop(sink);
        let written = writer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((result, written?))
    })
}

struct Writer<'w, 'a> {
    files: &'w DraftFiles<'a>,
    meter: &'w dyn Meter,
    recycled: Sender<Vec<u8>>,
    is_given_up: &'w AtomicBool,
    /// What is left to copy.
    rest: VecDeque<Piece>,
    copier: Copier,
    written: Vec<Written>,
}

impl Writer<'_, '_> {
    fn run(&mut self, orders: &Receiver<Order>) -> Result<(), Error> {
        loop {
            match orders.try_recv() {
                Ok(order) => self.follow(order)?,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    if !self.copy_some()? {
                        let Ok(order) = orders.recv() else { break };
                        self.follow(order)?;
                    }
                }
            }
        }
        while !self.is_given_up.load(Ordering::Relaxed) && self.copy_some()? {}
        Ok(())
    }

    fn follow(&mut self, order: Order) -> Result<(), Error> {
        match order {
            Order::Write(written, bytes) => {
                for range in &written {
                    self.copy_around(range)?;
                    self.files.write(range.shard, range.start, &bytes)?;
                }
                self.written.extend(written);
                self.recycle_buffer(bytes);
            }
            Order::Copy(piece) => self.rest.push_back(piece),
        }
        Ok(())
    }

    /// Copies the pieces that a change lies in, as far as they are still to be copied.
    fn copy_around(&mut self, written: &Written) -> Result<(), Error> {
        let end = written.start + written.length;
        let overlaps = |piece: &Piece| {
            piece.shard == written.shard
                && piece.bytes.start < end
                && written.start < piece.bytes.end
        };
        while let Some(index) = self.rest.iter().position(overlaps) {
            self.rest.swap(0, index);
            self.copy_some()?;
        }
        Ok(())
    }

    /// Copies a little of the untouched rest; `false` where there is none left.
    fn copy_some(&mut self) -> Result<bool, Error> {
        let Some(rest) = self.rest.front_mut() else {
            return Ok(false);
        };
        let copied = self.files.copy_some(&mut self.copier, rest)?;
        self.meter.copied(copied as u64);
        rest.bytes.start += copied;
        if rest.bytes.is_empty() {
            self.rest.pop_front();
        }
        Ok(true)
    }

    fn recycle(&self, order: Order) {
        if let Order::Write(_, bytes) = order {
            self.recycle_buffer(bytes);
        }
    }

    fn recycle_buffer(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        // Nobody may need it any more.
        let _ = self.recycled.send(buffer);
    }
}
