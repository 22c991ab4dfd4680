//! A daemon whose configuration the test writes itself.

use crate::{
    client::Client,
    harness::{PATIENCE, Site, eventually},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A daemon with consoles on a Unix socket and on TCP. Killed when dropped.
pub struct Served {
    child: Child,
    pub socket: PathBuf,
    pub tcp: String,
}

impl Served {
    /// `top` are lines at the top of the configuration, `options` those of the console on TCP.
    pub fn start(site: &Site, top: &str, options: &str, descriptors: Option<u32>) -> Served {
        site.configure();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = port.local_addr().unwrap().to_string();
        drop(port);
        let path = site.path("northstar.toml");
        let socket = site.path("console");
        let text = fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("console = "), "{first}");
        let console = format!(
            "console = [\"unix://{}\", {{ url = \"tcp://{tcp}\", options = {{ {options} }} }}]",
            socket.display()
        );
        fs::write(&path, format!("{console}\n{top}\n{rest}")).unwrap();
        let mut command = match descriptors {
            None => site.command(),
            Some(limit) => {
                let mut shell = Command::new("/bin/sh");
                shell
                    .arg("-c")
                    .arg(format!("ulimit -n {limit}; exec \"$0\" \"$@\""))
                    .arg(site.command().get_program())
                    .args(site.command().get_args());
                shell
            }
        };
        let child = command
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut served = Served { child, socket, tcp };
        eventually("console", || {
            assert_eq!(served.child.try_wait().unwrap(), None, "the daemon ended");
            UnixStream::connect(&served.socket).ok()
        });
        served
    }

    /// A client with everything.
    pub fn client(&self) -> Client {
        Client::connect(
            &self.socket,
            json!({"ids": true, "jobs": true, "sequence": true, "details": true}),
        )
    }

    /// A new client of 0.9.2 on the Unix socket asks for the list.
    pub fn list(&self) -> std::io::Result<Value> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(&stream);
        let connect = "{\"connect\":{\"version\":\"0.9.2\",\"subscribe_notifications\":false}}\n{\"request\":\"list\"}\n";
        std::io::Write::write_all(&mut &stream, connect.as_bytes())?;
        let mut line = String::new();
        reader.read_line(&mut line)?;
        line.clear();
        reader.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// A number of `/proc/PID/status` in KiB (proc_pid_status(5)).
    pub fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.unwrap().trim_start_matches(':').trim();
        number.split(' ').next().unwrap().parse().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        // It may have ended.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
