//! The simulator as a program.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;
use vcenter_sim::faults::Faults;
use vcenter_sim::faults::rule::{Rule, parse_json, parse_toml};
use vcenter_sim::inventory::{Personality, SCENARIOS, Scenario};
use vcenter_sim::{Inventory, Options, Simulator};

/// A SIMULATED vCenter with ESXi hosts and real disk bytes, for tests and demos.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// File that says what exists (TOML)
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    inventory: Option<PathBuf>,
    /// Built-in inventory [default: small-office, or esxi with --esxi]
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// List the built-in inventories
    #[arg(long)]
    list_scenarios: bool,
    /// Print a built-in inventory, to begin a file of your own with
    #[arg(long, value_name = "NAME")]
    print_scenario: Option<String>,
    /// Claim to be an ESXi host, whatever the inventory says
    #[arg(long)]
    esxi: bool,
    /// Address of the vCenter; hosts listen on the same address with ports of their own
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))]
    listen: SocketAddr,
    /// Address of the control endpoint
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))]
    control: SocketAddr,
    /// Allow addresses that are not loopback
    #[arg(long)]
    allow_remote: bool,
    /// File to write address, account and certificate to once everything listens (JSON)
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Stop when standard input ends, as it does when the parent process dies
    #[arg(long)]
    exit_on_stdin_eof: bool,
    /// Forgive requests that a strict server refuses
    #[arg(long)]
    lenient: bool,
    /// Name of hosts in the URLs of leases, instead of their address
    #[arg(long, value_name = "NAME")]
    url_name: Option<String>,
    /// Name in the hosts' certificates, instead of the usual ones (may be repeated)
    #[arg(long, value_name = "NAME")]
    host_certificate_name: Vec<String>,
    /// Name in the vCenter's certificate, instead of the usual ones (may be repeated)
    #[arg(long, value_name = "NAME")]
    vcenter_certificate_name: Vec<String>,
    /// Bandwidth of each connection
    #[arg(long, value_name = "N")]
    bytes_per_second: Option<u64>,
    /// Seconds without progress after which a lease dies
    #[arg(long, value_name = "N")]
    lease_timeout_s: Option<u64>,
    /// Milliseconds for which a new lease is initializing
    #[arg(long, value_name = "N")]
    initializing_ms: Option<u64>,
    /// Use `*` as host in the URLs of leases
    #[arg(long)]
    star_host: bool,
    /// Bandwidths and latency after reports of real hosts: `ideal`, `nfc-25`, `vcenter-folder`, `esxi-folder`
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Any switch or fault of the inventory's table `[faults]`, as TOML: `progress_fails=3`,
    /// `corrupt_byte={file="disk-0.vmdk",offset=70000}`; or a rule, as JSON:
    /// `{"when":{"method":"ExportVm"},"then":{"kill_session":true},"nth":2}` (may be repeated)
    #[arg(long, value_name = "KEY=VALUE|JSON")]
    fault: Vec<String>,
    /// File of rules: `[[rule]]` tables as in an inventory, or JSON when its name ends so (may be repeated)
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if args.list_scenarios || args.print_scenario.is_some() {
        return show_scenarios(&args);
    }
    let inventory = inventory(&args)?;
    let options = options(&args, &inventory)?;
    let mut simulator = Simulator::start(inventory, options).await?;
    announce(&simulator)?;
    if let Some(path) = &args.ready_file {
        write_ready_file(path, &simulator)?;
    }
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let stdin_ended = stdin_ended(args.exit_on_stdin_eof);
    tokio::select! {
        () = simulator.stopped() => return Ok(()),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stdin_ended => {}
    }
    simulator.stop().await;
    Ok(())
}

fn inventory(args: &Args) -> anyhow::Result<Inventory> {
    let mut inventory = match (&args.inventory, &args.scenario) {
        (Some(path), _) => Inventory::load(path)?,
        (None, Some(name)) => Inventory::scenario(name)?,
        (None, None) if args.esxi => Inventory::scenario("esxi")?,
        (None, None) => Inventory::scenario("small-office")?,
    };
    if args.esxi {
        // What a host cannot have is refused when it starts.
        inventory.vcenter.personality = Personality::Esxi;
    }
    Ok(inventory)
}

fn show_scenarios(args: &Args) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if let Some(name) = &args.print_scenario {
        write!(out, "{}", Scenario::named(name)?.text)?;
    } else {
        for scenario in SCENARIOS {
            writeln!(out, "{:<14} {}", scenario.name, scenario.about)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn options(args: &Args, inventory: &Inventory) -> anyhow::Result<Options> {
    let faults = Faults::new(inventory.faults.clone());
    faults
        .merge(&Value::Object(fault_flags(args)?))
        .map_err(anyhow::Error::msg)
        .context("a fault is not understood")?;
    let names = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
    Ok(Options {
        listen: args.listen,
        control: args.control,
        allow_remote: args.allow_remote,
        lenient: args.lenient,
        url_name: args.url_name.clone(),
        host_certificate_names: names(&args.host_certificate_name),
        vcenter_certificate_names: names(&args.vcenter_certificate_name),
        settings: Some((*faults.now()).clone()),
        rules: rules(args)?,
    })
}

/// Returns whether a fault is a rule; a switch begins with its key.
fn is_rule(fault: &str) -> bool {
    fault.trim_start().starts_with(['{', '['])
}

/// Collects the rules of files, then those of flags.
fn rules(args: &Args) -> anyhow::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for path in &args.rules {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the rules {}", path.display()))?;
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let parsed = if is_json { parse_json(&text) } else { parse_toml(&text) };
        let not_understood = || format!("the rules {} are not understood", path.display());
        rules.extend(parsed.map_err(anyhow::Error::msg).with_context(not_understood)?);
    }
    for fault in args.fault.iter().filter(|fault| is_rule(fault)) {
        let parsed = parse_json(fault).map_err(anyhow::Error::msg);
        rules.extend(parsed.with_context(|| format!("the rule `{fault}` is not understood"))?);
    }
    Ok(rules)
}

/// Collects the flags that change faults; those with a name of their own win.
fn fault_flags(args: &Args) -> anyhow::Result<Map<String, Value>> {
    let mut changes = Map::new();
    for fault in args.fault.iter().filter(|fault| !is_rule(fault)) {
        let table: Map<String, Value> =
            toml::from_str(fault).with_context(|| format!("`{fault}` is not KEY=VALUE as in TOML"))?;
        changes.extend(table);
    }
    let numbers = [
        ("bytes_per_second", args.bytes_per_second),
        ("lease_timeout_s", args.lease_timeout_s),
        ("initializing_ms", args.initializing_ms),
    ];
    let numbers = numbers.into_iter().filter_map(|(key, number)| Some((key.to_owned(), json!(number?))));
    changes.extend(numbers);
    changes.extend(args.profile.as_ref().map(|name| ("profile".to_owned(), json!(name))));
    if args.star_host {
        changes.insert("star_host".to_owned(), json!(true));
    }
    Ok(changes)
}

/// Says what this is and where, for whoever has started it by hand.
fn announce(simulator: &Simulator) -> anyhow::Result<()> {
    let account = &simulator.world().inventory.vcenter;
    let mut out = std::io::stdout().lock();
    let what = match account.personality {
        Personality::VCenter => "vCenter",
        Personality::Esxi => "ESXi host",
    };
    writeln!(out, "vcenter-sim {}: a SIMULATED {what}, for tests and demos", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  url         {}", simulator.url())?;
    writeln!(out, "  user        {} (password: {})", account.username, account.password)?;
    writeln!(out, "  certificate {}", simulator.sha256_thumbprint())?;
    writeln!(out, "  control     {}", simulator.control_url())?;
    out.flush()?;
    Ok(())
}

/// Writes the file under another name and renames it, so that nobody reads half of it.
fn write_ready_file(path: &Path, simulator: &Simulator) -> anyhow::Result<()> {
    let account = &simulator.world().inventory.vcenter;
    let ready = json!({
        "url": simulator.url(),
        "username": account.username,
        "password": account.password,
        "sha256_thumbprint": simulator.sha256_thumbprint(),
        "sha1_thumbprint": simulator.sha1_thumbprint(),
        "certificate": simulator.certificate_pem(),
        "control": simulator.control_url(),
        "pid": std::process::id(),
    });
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let partial = PathBuf::from(partial);
    std::fs::write(&partial, format!("{ready:#}\n"))
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}

/// Waits for the end of standard input if asked to, else for ever.
///
/// A thread of its own reads it, because a read of a terminal cannot be cancelled; it dies with the process.
async fn stdin_ended(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (ended, wait) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while matches!(std::io::stdin().read(&mut buffer), Ok(read) if read > 0) {}
        drop(ended);
    });
    // Nothing is ever sent: the other end's drop is the message.
    drop(wait.await);
}
