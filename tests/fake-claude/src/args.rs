//! The command line, refused in the same words as by the real CLI.

use uuid::Uuid;

/// Flags that take a value, with the name that the CLI shows for it.
const VALUED: &[(&str, &str)] = &[
    ("--add-dir", "directories..."),
    ("--allowedTools", "tools..."),
    ("--append-system-prompt", "prompt"),
    ("--append-system-prompt-file", "file"),
    ("--autocompact", "tokens"),
    ("--disallowedTools", "tools..."),
    ("--effort", "level"),
    ("--fallback-model", "model"),
    ("--max-budget-usd", "amount"),
    ("--max-turns", "turns"),
    ("--mcp-config", "configs..."),
    ("--model", "model"),
    ("--output-format", "format"),
    ("--permission-mode", "mode"),
    ("--permission-prompts", "mode"),
    ("--resume", "value"),
    ("--session-id", "uuid"),
    ("--setting-sources", "sources"),
    ("--settings", "file-or-json"),
    ("--system-prompt", "prompt"),
    ("--system-prompt-file", "file"),
    ("--system-prompt-snapshot", "mode"),
    ("--tools", "tools..."),
];
/// Flags without one.
const PLAIN: &[&str] = &[
    "--disable-slash-commands",
    "--fork-session",
    "--include-partial-messages",
    "--no-session-persistence",
    "--print",
    "--restricted",
    "--strict-mcp-config",
    "--verbose",
];
const MODES: [&str; 6] = ["acceptEdits", "auto", "bypassPermissions", "manual", "dontAsk", "plan"];

/// What the double heeds of its flags; the others are only checked.
#[derive(Debug, Default, Clone)]
pub(crate) struct Args {
    pub(crate) model: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) tools: Option<String>,
    pub(crate) session_id: Option<String>,
    pub(crate) resume: Option<String>,
    pub(crate) budget: Option<f64>,
    pub(crate) fork: bool,
    pub(crate) keep: bool,
    pub(crate) partial: bool,
    pub(crate) slash: bool,
    pub(crate) words: Vec<String>,
    print: bool,
    verbose: bool,
    stream: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Print the version.
    Version,
    /// Run a turn.
    Turn(Box<Args>),
}

/// Reads the arguments; the error is the text for stderr.
pub(crate) fn parse(argv: &[String]) -> Result<Asked, String> {
    let mut args = Args { keep: true, slash: true, ..Args::default() };
    let mut rest = argv.iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            args.words.extend(rest.by_ref().cloned());
            break;
        }
        if !arg.starts_with('-') || arg == "-" {
            args.words.push(arg.clone());
            continue;
        }
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) => (full(flag), Some(value.to_owned())),
            None => (full(arg), None),
        };
        if flag == "--version" {
            return Ok(Asked::Version);
        }
        if PLAIN.contains(&flag) {
            args.set_plain(flag);
        } else if let Some((_, shown)) = VALUED.iter().find(|(name, _)| *name == flag) {
            let value = inline.or_else(|| rest.next().cloned());
            let value = value.ok_or_else(|| format!("error: option '{flag} <{shown}>' argument missing"))?;
            args.set(flag, shown, value)?;
        } else {
            return Err(format!("error: unknown option '{flag}'"));
        }
    }
    args.check()?;
    Ok(Asked::Turn(Box::new(args)))
}

fn full(flag: &str) -> &str {
    match flag {
        "-p" => "--print",
        "-v" => "--version",
        "-r" => "--resume",
        "--allowed-tools" => "--allowedTools",
        "--disallowed-tools" => "--disallowedTools",
        other => other,
    }
}

impl Args {
    fn set_plain(&mut self, flag: &str) {
        match flag {
            "--disable-slash-commands" => self.slash = false,
            "--fork-session" => self.fork = true,
            "--include-partial-messages" => self.partial = true,
            "--no-session-persistence" => self.keep = false,
            "--print" => self.print = true,
            "--verbose" => self.verbose = true,
            _ => {}
        }
    }

    fn set(&mut self, flag: &str, shown: &str, value: String) -> Result<(), String> {
        let invalid = |why: &str| format!("error: option '{flag} <{shown}>' argument '{value}' is invalid. {why}");
        match flag {
            "--model" => self.model = Some(value),
            "--tools" => self.tools = Some(value),
            "--resume" => self.resume = Some(value),
            "--session-id" => self.session_id = Some(value),
            "--permission-mode" => {
                // The old name of `manual` is still taken, though not listed.
                if value != "default" && !MODES.contains(&value.as_str()) {
                    return Err(invalid(&format!("Allowed choices are {}.", MODES.join(", "))));
                }
                self.mode = Some(value);
            }
            "--output-format" => {
                if !["text", "json", "stream-json"].contains(&value.as_str()) {
                    return Err(invalid("Allowed choices are text, json, stream-json."));
                }
                self.stream = value == "stream-json";
            }
            "--max-budget-usd" => match value.parse::<f64>() {
                Ok(amount) if amount > 0.0 => self.budget = Some(amount),
                _ => return Err(invalid("--max-budget-usd must be a number greater than 0")),
            },
            _ => {}
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let told = if !self.print || !self.stream {
            "fake-claude: only --print with --output-format stream-json is spoken here"
        } else if !self.verbose {
            "Error: When using --print, --output-format=stream-json requires --verbose"
        } else if self.session_id.as_ref().is_some_and(|id| Uuid::parse_str(id).is_err()) {
            "Error: Invalid session ID. Must be a valid UUID."
        } else if self.session_id.is_some() && self.resume.is_some() && !self.fork {
            "Error: --session-id with --continue or --resume also needs --fork-session."
        } else {
            return Ok(());
        };
        Err(told.to_owned())
    }
}
