//! Uses what a command has: arguments, variables, files, streams and clocks, as `command.c` does.

use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io, process, thread};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    println!("arguments: {}", arguments.join(" "));
    println!("variable: {}", env::var("GREETING").unwrap());
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    println!("input: {}", input);

    let text = fs::read_to_string("/d/in.txt")?;
    fs::write("/d/out.txt", text.to_uppercase())?;
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir("/d")? {
        names.push(entry?.file_name().into_string().unwrap());
    }
    names.sort();
    println!("names: {}", names.join(" "));
    println!("outside: {}", if fs::read("/d/../secret.txt").is_err() { "refused" } else { "opened" });

    println!("time: {}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs());
    let before = Instant::now();
    thread::sleep(Duration::from_secs(3600));
    println!("slept: {}", before.elapsed().as_secs());
    eprintln!("done");
    if arguments.first().map_or(false, |first| first == "fail") {
        process::exit(1);
    }
    Ok(())
}
