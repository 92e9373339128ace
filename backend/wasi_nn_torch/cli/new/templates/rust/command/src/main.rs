//! A command that computes a model with wasi-nn: its arguments are numbers, and it prints a probability for each.

mod nn;

use std::env;
use std::error::Error;
use std::process::ExitCode;

const MODEL: &str = "model";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Computes the model once, and prints its output.
fn run() -> Result<(), Box<dyn Error>> {
    let scores = env::args().skip(1).map(number).collect::<Result<Vec<_>, _>>()?;
    let probabilities = compute(&scores)?;
    print!("probabilities: FP32 [{}]", probabilities.len());
    for probability in probabilities {
        print!(" {probability:.4}");
    }
    println!();
    Ok(())
}

fn compute(scores: &[f32]) -> Result<Vec<f32>, nn::Error> {
    let context = nn::Graph::load_by_name(MODEL)?.init_execution_context()?;
    context.set_input(0, &[scores.len() as u32], scores)?;
    context.compute()?;
    let mut probabilities = vec![0.0; scores.len()];
    let length = context.get_output(0, &mut probabilities)?;
    probabilities.truncate(length);
    Ok(probabilities)
}

fn number(argument: String) -> Result<f32, String> {
    argument.parse().map_err(|_| format!("{argument:?} is not a number"))
}
