//! `forebay log produce`: lines become records.
//!
//! [`input`] reads them on a thread of its own; each is sent, and [`acked`] follows what becomes of it. Whatever ends the
//! reading (the end, a bad line, a fault, an interrupt), what was read before is written, and what was acknowledged is said.

mod acked;
mod input;

use std::io::{self, Write};
use std::sync::Arc;

use forebay_log::metadata::MetadataError;
use forebay_log::{Acks, Log, LogError, Producer, TopicPartition};
use forebay_types::{Clock, ErrorKind, SystemClock};
use serde::Serialize;
use tokio::sync::{Notify, mpsc};

use self::acked::{Acked, Sent, Written};
use self::input::{Input, Piece};
use super::open::open;
use super::record::read::Lines;
use crate::args::{Format, LogProduceArgs};
use crate::exit::{CliError, Result};
use crate::session::{Session, interrupted};

/// What was written, as `--json` tells it.
#[derive(Debug, Serialize)]
struct Answer {
    topic: String,
    /// Lines that were read and sent.
    sent: u64,
    /// Records that are durable; with acks none, that were taken in.
    acknowledged: u64,
    acks: &'static str,
    partitions: Vec<InPartition>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct InPartition {
    partition: u32,
    records: u64,
    /// Null if nobody waited for it (acks none).
    first_offset: Option<u64>,
    last_offset: Option<u64>,
}

pub(crate) fn run(session: &Session, args: &LogProduceArgs) -> Result<()> {
    let lines = lines(args)?;
    // An interrupt is caught below, where what was read can still be written.
    session.block_on_uncaught(produce(session, args, lines))
}

fn lines(args: &LogProduceArgs) -> Result<Lines> {
    if let Some(separator) = &args.key_separator {
        if args.format != Format::Text {
            return Err(CliError::usage(
                "--key-separator is for text: a JSON object has a key of its own",
            ));
        }
        if separator.is_empty() || separator.contains('\n') {
            return Err(CliError::usage(
                "--key-separator needs one character at least, and no newline",
            ));
        }
    }
    Ok(Lines {
        format: args.format,
        key_separator: args.key_separator.as_ref().map(|text| text.clone().into_bytes()),
        partition: args.partition,
    })
}

async fn produce(session: &Session, args: &LogProduceArgs, lines: Lines) -> Result<()> {
    let clock = SystemClock::new();
    let mut settings = session.settings.log.clone();
    settings.compression = args.compression.unwrap_or(settings.compression);
    settings.acks = args.acks.unwrap_or(settings.acks);
    settings.batch_bytes = args.batch_bytes.unwrap_or(settings.batch_bytes);
    settings.linger = args.linger.unwrap_or(settings.linger);
    let log = open(session).await?;
    check(&log, args).await?;
    let input = Input::begin(&args.file)?;
    let producer = Producer::new(&log, settings.producer_options());
    let (sent, sending) = mpsc::unbounded_channel();
    let failed = Arc::new(Notify::new());
    let acked =
        tokio::spawn(Acked::new(args.report.then_some(session.output), failed.clone()).follow(sending));
    let maintenance = settings.maintain.then(|| {
        let (log, every, options) = (log.clone(), settings.maintain_every, settings.maintain_options());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                match log.maintain(&options).await {
                    Ok(done) => tracing::info!(?done, "maintained"),
                    Err(error) => tracing::warn!(%error, "maintenance failed, tried again later"),
                }
            }
        })
    });
    let mut pump = Pump {
        input,
        piece: None,
        lines,
        producer: &producer,
        topic: args,
        sent: Some(sent),
        count: 0,
    };
    let outcome = pump.until_the_end(&failed).await;
    // Nothing more is sent: what follows the deliveries comes to its end.
    drop(pump.sent.take());
    if let Some(maintenance) = maintenance {
        maintenance.abort();
    }
    let count = pump.count;
    let mut closing = std::pin::pin!(producer.close());
    // One interrupt lets what was read be written; whoever cannot wait for that says it again.
    let mut patient = !matches!(&outcome, Err(error) if error.kind() == ErrorKind::Cancelled);
    let closed = loop {
        tokio::select! {
            closed = &mut closing => break closed,
            () = interrupted() => {
                if !std::mem::take(&mut patient) {
                    return Err(CliError::new(
                        ErrorKind::Cancelled,
                        "interrupted before everything was written; what was not acknowledged may be there or not",
                    ));
                }
            }
        }
    };
    let acked = acked
        .await
        .map_err(|e| CliError::new(ErrorKind::Internal, format!("a task failed: {e}")))?;
    let answer = answer(args, settings.acks, count, &acked, clock.now().as_secs_f64());
    said(session, &answer)?;
    outcome?;
    if let Some((line, error)) = acked.failed {
        return Err(at_line(line, &error));
    }
    // With acks none nobody was told before.
    Ok(closed?)
}

/// What is wrong before anything is read.
async fn check(log: &Log, args: &LogProduceArgs) -> Result<()> {
    let topic = log.metadata().topic(&args.topic).await?;
    let topic = topic.ok_or_else(|| MetadataError::UnknownTopic {
        topic: args.topic.clone(),
    })?;
    match args.partition {
        Some(partition) if partition >= topic.partitions => Err(MetadataError::UnknownPartition {
            at: TopicPartition::new(args.topic.clone(), partition),
            partitions: topic.partitions,
        }
        .into()),
        _ => Ok(()),
    }
}

/// Lines on their way to the producer.
struct Pump<'a> {
    input: Input,
    piece: Option<Piece>,
    lines: Lines,
    producer: &'a Producer,
    topic: &'a LogProduceArgs,
    sent: Option<mpsc::UnboundedSender<Vec<Sent>>>,
    count: u64,
}

impl Pump<'_> {
    /// Until there are no more lines, one of them is bad, something was not written, or an interrupt; then with the lines
    /// that were read by then.
    async fn until_the_end(&mut self, failed: &Notify) -> Result<()> {
        tokio::select! {
            biased;
            () = interrupted() => {}
            () = failed.notified() => return Ok(()),
            sent = self.send_all() => return sent,
        }
        self.input.stop();
        tokio::select! {
            biased;
            () = interrupted() => {}
            () = failed.notified() => {}
            sent = self.send_all() => sent?,
        }
        Err(CliError::new(ErrorKind::Cancelled, "interrupted"))
    }

    /// Cancel safe: a line is sent or not, and none is forgotten.
    async fn send_all(&mut self) -> Result<()> {
        loop {
            if self.piece.is_none() {
                match self.input.next().await {
                    None => return Ok(()),
                    Some(piece) => self.piece = Some(piece?),
                }
            }
            let sent = self.send_piece().await;
            if sent.is_ok() {
                self.piece = None;
            }
            sent?;
        }
    }

    async fn send_piece(&mut self) -> Result<()> {
        let Some(piece) = &mut self.piece else {
            return Ok(());
        };
        // Given over whatever ends this: dropped in the middle, too.
        let mut batch = Batch {
            sent: Vec::new(),
            to: self.sent.as_ref(),
        };
        while let Some((number, line)) = piece.line() {
            let record = self
                .lines
                .record(&line)
                .map_err(|why| CliError::usage(format!("line {number}: {why}")))?;
            if let Some(record) = record {
                let sent = self.producer.send(&self.topic.topic, &record).await;
                let delivery = sent.map_err(|error| at_line(number, &error))?;
                batch.sent.push(Sent {
                    line: number,
                    delivery,
                });
                self.count += 1;
            }
            piece.advance();
        }
        Ok(())
    }
}

/// Deliveries that are handed on together.
struct Batch<'a> {
    sent: Vec<Sent>,
    to: Option<&'a mpsc::UnboundedSender<Vec<Sent>>>,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if let Some(to) = self.to {
            // Its receiver lives until this end is gone.
            let _ = to.send(std::mem::take(&mut self.sent));
        }
    }
}

fn at_line(line: u64, error: &LogError) -> CliError {
    CliError::from(error).with_prefix(&format!("line {line}"))
}

fn answer(args: &LogProduceArgs, acks: Acks, sent: u64, acked: &Acked, seconds: f64) -> Answer {
    let partitions = acked.written.iter().map(|(partition, written)| InPartition {
        partition: *partition,
        records: written.records,
        first_offset: written.offsets.map(|(first, _)| first),
        last_offset: written.offsets.map(|(_, last)| last),
    });
    Answer {
        topic: args.topic.to_string(),
        sent,
        acknowledged: acked.written.values().map(|written| written.records).sum(),
        acks: match acks {
            Acks::All => "all",
            Acks::None => "none",
        },
        partitions: partitions.collect(),
        seconds,
    }
}

/// On standard error: standard output is for data, and this command has none.
fn said(session: &Session, answer: &Answer) -> Result<()> {
    if session.output.json {
        return session.output.answer(answer, String::new);
    }
    if !session.output.quiet {
        // A closed standard error is nobody's loss.
        let _ = io::stderr().write_all(format!("{}\n", answer.text()).as_bytes());
    }
    Ok(())
}

impl Answer {
    fn text(&self) -> String {
        let (records, topic) = (self.acknowledged, &self.topic);
        let what = if records == 1 { "record" } else { "records" };
        let done = if self.acks == "none" {
            "taken in (acks none)"
        } else {
            "acknowledged"
        };
        let places: Vec<String> = self.partitions.iter().map(|part| part.text(topic)).collect();
        let missing = match self.sent - records {
            0 => String::new(),
            missing => format!("; {missing} that were read are not"),
        };
        match places.len() {
            0 => format!("{records} {what} {done}{missing}"),
            _ => format!("{records} {what} {done}: {}{missing}", places.join(", ")),
        }
    }
}

impl InPartition {
    fn text(&self, topic: &str) -> String {
        let Self {
            partition, records, ..
        } = self;
        match (self.first_offset, self.last_offset) {
            (Some(first), Some(last)) if first == last => format!("{topic}/{partition} offset {first}"),
            // Others wrote in between.
            (Some(first), Some(last)) if last - first + 1 != *records => {
                format!("{topic}/{partition} {records} in the offsets {first} to {last}")
            }
            (Some(first), Some(last)) => format!("{topic}/{partition} offsets {first} to {last}"),
            _ => format!("{topic}/{partition} {records}"),
        }
    }
}

impl Written {
    /// One more.
    fn add(&mut self, offset: Option<u64>) {
        self.records += 1;
        if let Some(offset) = offset {
            let (first, last) = self.offsets.unwrap_or((offset, offset));
            self.offsets = Some((first.min(offset), last.max(offset)));
        }
    }
}
