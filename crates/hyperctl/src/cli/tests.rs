//! Help and refusals as people see them.

use super::*;

fn stopped(items: &[&str]) -> Stop {
    parse(["hyperctl"].iter().chain(items).map(OsString::from).collect()).expect_err("the line ends without acting")
}

fn usage(items: &[&str]) -> String {
    let stop = stopped(items);
    assert_eq!(stop.exit, Exit::Usage, "{items:?}");
    stop.text
}

fn help(items: &[&str]) -> String {
    let stop = stopped(items);
    assert_eq!(stop.exit, Exit::Done, "{items:?}");
    stop.text
}

#[test]
fn the_definition_of_the_commands_is_sound() {
    Line::command().debug_assert();
}

#[test]
fn every_way_to_ask_for_help_says_the_same() {
    for items in [&["-h"][..], &["-help"], &["--help"]] {
        assert_eq!(help(items), help(&["help"]));
    }
    for items in [&["export", "-h"][..], &["export", "--help"], &["export", "vm", "-help"]] {
        assert_eq!(help(items), help(&["help", "export"]));
    }
}

#[test]
fn help_lists_the_commands() {
    insta::assert_snapshot!(help(&["help"]), @"
    Bring VMs out of vCenter and ESXi

    Usage: hyperctl [OPTIONS] [COMMAND]

    Commands:
      export      Export a VM as an OVF package
      submit      Leave an export to the daemon and return
      query       Say where jobs are
      jobs        Say where all jobs are
      watch       Follow a job to its end
      cancel      Stop jobs
      status      Say who answers, and how many jobs there are
      list        List the VMs of the source
      grep        Find VMs of the source
      vm          Look at a VM, shut it down, power it off, or remove its CD/DVD drives
      token       Make, list and revoke tokens for the daemon
      doctor      Check what is there, and say what to do next
      convert     Write a disk or a package that lies here in another format
      inspect     Say what a disk image or a package is
      verify      Compare the files of a package with its manifest
      demo        Show an export from a simulated vCenter, step by step
      completion  Print a completion script for a shell
      version     Print the version
      help        Explain a command

    Options:
          --daemon <URL>            Daemon to talk to (http://host:port or unix:///path); also HYPERVISORD_URL
          --version[=<true|false>]  Print the version
      -h, --help                    Print help

    The source is read from the environment, as govc reads it: GOVC_URL, GOVC_USERNAME,
    GOVC_PASSWORD, GOVC_INSECURE, GOVC_TLS_CA_CERTS, GOVC_TLS_KNOWN_HOSTS, GOVC_DATACENTER.
    Flags take one dash or two, before or after other words.
    ");
}

#[test]
fn help_of_convert_explains_its_flags() {
    insta::assert_snapshot!(help(&["help", "convert"]), @"
    Write a disk or a package that lies here in another format

    Usage: hyperctl convert [OPTIONS] --output <DST> <SRC>

    Arguments:
      <SRC>  Disk image, .vmx, package (.ovf, .ova) or directory that holds one

    Options:
          --daemon <URL>                   Daemon to talk to (http://host:port or unix:///path); also HYPERVISORD_URL
      -o, --output <DST>                   File or block device to write; a directory for several disks
          --to <raw|qcow2|vmdk|ova|ovf>    Form of what is written [default: what the name of DST ends in]
          --version[=<true|false>]         Print the version
          --from <raw>                     Form of SRC, for a raw disk whose name does not end in .raw or .img
          --compress[=<deflate|zstd>]      Compress a qcow2 [default: deflate]
          --cluster <SIZE>                 Length of a cluster of a qcow2, 64K to 2M [default: 64K]
          --force[=<true|false>]           Replace what stands at DST
          --follow-outside[=<true|false>]  Open files that the image names outside of its own folder
          --json[=<true|false>]            Print JSON, and nothing else on standard output
      -h, --help                           Print help
    ");
}

#[test]
fn help_of_export_explains_its_flags() {
    insta::assert_snapshot!(help(&["help", "export"]), @"
    Export a VM as an OVF package

    Usage: hyperctl export [OPTIONS] <VM>

    Arguments:
      <VM>  Inventory path (/DC/vm/folder/name), or a name that fits exactly one VM

    Options:
          --daemon <URL>                 Daemon to talk to (http://host:port or unix:///path); also HYPERVISORD_URL
      -o, --output <DIR>                 Directory for the package, made when missing [default: ./export-NAME]
          --snapshot[=<crash|quiesce>]   Export a snapshot that is removed afterwards, so that the VM may run [default: crash]
          --version[=<true|false>]       Print the version
          --shutdown[=<TIME>]            Shut a running VM's guest down first, within this time; the VM stays off [default: 300s]
          --force-off[=<true|false>]     Take the power where the guest does not shut down in time, or cannot be asked (with --shutdown)
          --eject-cdrom[=<true|false>]   Take the media out of the VM's CD/DVD drives, and put them back at the end
          --remove-cdrom[=<true|false>]  Leave the CD/DVD drives out of the package; the VM keeps them
          --disk <N|NAME>                Export only this disk: its number (from 0), label or file; may be repeated
          --exclude-disk <N|NAME>        Export all disks but this one; may be repeated
          --json[=<true|false>]          Print JSON, and nothing else on standard output
      -h, --help                         Print help
    ");
}

#[test]
fn help_of_list_explains_its_flags() {
    insta::assert_snapshot!(help(&["help", "list"]), @"
    List the VMs of the source

    Usage: hyperctl list [OPTIONS]

    Options:
          --daemon <URL>            Daemon to talk to (http://host:port or unix:///path); also HYPERVISORD_URL
          --filter <TEXT>           Only VMs whose name or path contains this text, in any case
          --json[=<true|false>]     Print JSON, and nothing else on standard output
          --version[=<true|false>]  Print the version
      -h, --help                    Print help
    ");
}

#[test]
fn a_wrong_line_says_why_first() {
    insta::assert_snapshot!(usage(&["frobnicate\u{1b}"]), @r"
    error: unknown command 'frobnicate\u{1b}'
    hint: see `hyperctl help`
    ");
    insta::assert_snapshot!(usage(&["export", "vm1", "-nope"]), @"
    error: unknown flag -nope
    hint: see `hyperctl export -h`
    ");
    insta::assert_snapshot!(usage(&["export"]), @"
    error: the following required arguments were not provided:
      <VM>

    Usage: hyperctl export <VM>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(usage(&["list", "stray"]), @"
    error: unexpected argument 'stray' found

    Usage: hyperctl list [OPTIONS]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(usage(&["list", "-json=maybe"]), @"
    error: invalid value 'maybe' for '--json[=<true|false>]': a boolean is true or false

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(usage(&["completion", "-shell", "tcsh"]), @"
    error: invalid value 'tcsh' for '--shell <SHELL>'
      [possible values: bash, zsh, fish]

      tip: a similar value exists: 'zsh'

    For more information, try '--help'.
    ");
}

#[test]
fn no_command_is_a_usage_error_with_the_usage() {
    let text = usage(&[]);
    assert!(text.starts_with("error: no command given\n"), "{text}");
    assert!(text.contains("Usage: hyperctl"), "{text}");
}

#[test]
fn version_stands_alone_or_anywhere() {
    for items in [&["-version"][..], &["--version"], &["list", "-version"]] {
        let line = parse(["hyperctl"].iter().chain(items).map(OsString::from).collect()).unwrap();
        assert!(line.globals.version, "{items:?}");
    }
}
