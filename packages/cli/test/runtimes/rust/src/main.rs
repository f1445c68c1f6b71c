// What a program of Rust does before it does anything: finds itself, its settings and its system.
use std::{env, fs, process::Command};

fn main() -> std::io::Result<()> {
    let here = env::current_dir()?;
    println!("{} {}", here.display(), fs::canonicalize(&here)? == here);
    println!("{}", include_str!("word.txt").trim());
    print!("{}", fs::read_to_string("../settings.json")?);
    println!("{}", env::current_exe()?.starts_with(&here));
    let scratch = env::temp_dir().join(format!("runtimes-{}", std::process::id()));
    fs::create_dir_all(scratch.join("made/by"))?;
    fs::write(scratch.join("made/a"), "written")?;
    fs::rename(scratch.join("made/a"), scratch.join("made/b"))?;
    println!("{}", fs::read_dir(scratch.join("made"))?.count());
    fs::remove_dir_all(&scratch)?;
    print!("{}", String::from_utf8_lossy(&Command::new("pwd").output()?.stdout));
    Ok(())
}
