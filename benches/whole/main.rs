//! Times whole processes side by side: this program, its peers, `cp`, and the floor that no program can be under by much.
//! `benches/README.md` says what each contender is and how to run this.

mod checkpoints;
mod compare;
mod contenders;
mod floor;
mod language;
mod machine;
mod measure;
mod noise;
mod reports;
mod scaling;
mod suite;
mod table;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use checkpoints::Checkpoint;
use contenders::Workshop;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Times whole processes: inmerge-ckpt, scripts in numpy and PyTorch, cp and the floor.
#[derive(Parser)]
#[command(name = "whole")]
struct Args {
    /// How often each contender is timed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Take only the checkpoints of these names (resnet50 takes resnet50-f16 along)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure how time grows with a layer's kernels, and with a file's size, instead
    #[arg(long)]
    scaling: bool,
    /// Time `analyze` beside scripts that compute some of its numbers, instead
    #[arg(long, conflicts_with = "scaling")]
    reports: bool,
    /// Merge the linear layers of a language model of 7 billion parameters, in three files of 13.5 GB together, once, instead
    #[arg(long, conflicts_with_all = ["scaling", "reports"])]
    language: bool,
    /// Where the tables go, as Markdown [default: target/bench/whole.md, scaling.md, reports.md or language.md]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What cargo tells every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program does as a process of its own.
#[derive(Subcommand)]
enum Part {
    /// Make a checkpoint
    #[command(hide = true)]
    Make { name: String, output: PathBuf },
    /// Copy a checkpoint and compute its Gram matrices
    #[command(hide = true)]
    Floor {
        input: PathBuf,
        output: PathBuf,
        skip: usize,
        order: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("whole: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    match &args.part {
        Some(Part::Make { name, output }) => match language::shard(name) {
            Some(tensors) => checkpoints::write(tensors, output),
            None => Checkpoint::named(name)
                .ok_or("no checkpoint of this name")?
                .make(output),
        },
        Some(Part::Floor {
            input,
            output,
            skip,
            order,
        }) => floor::run(input, output, *skip, order),
        None => bench(args),
    }
}

fn bench(args: &Args) -> Result<()> {
    let workshop = Workshop::open()?;
    let (name, tables) = if args.scaling {
        ("scaling", scaling::run(&workshop, args.rounds)?)
    } else if args.reports {
        ("reports", reports::run(&workshop, args.rounds)?)
    } else if args.language {
        ("language", language::run(&workshop)?)
    } else {
        ("whole", suite::run(&workshop, args.rounds, &args.only)?)
    };
    let text = format!("{}\n{tables}", machine::describe(&workshop));
    print!("{text}");

    let out = args
        .out
        .clone()
        .unwrap_or_else(|| format!("target/bench/{name}.md").into());
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&out, text)?;
    eprintln!("wrote {}", out.display());
    Ok(())
}
