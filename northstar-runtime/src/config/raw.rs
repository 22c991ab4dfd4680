//! The configuration as it may be written. Nothing is judged here but names and shapes; strings stay strings.
//!
//! Where a value has two shapes (a URL or a table, a list or tables) a visitor decides by the shape that is there, so
//! that an error speaks of the key that is wrong and not of "no variant".

use northstar_manifest::Permissions;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, path::PathBuf};
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    pub console: Console,
    pub container_console_options: Option<Options>,
    pub run_dir: PathBuf,
    pub data_dir: PathBuf,
    pub log_dir: Option<PathBuf>,
    pub socket_dir: Option<PathBuf>,
    pub mount_parallel: Option<u64>,
    pub cgroup: Option<PathBuf>,
    pub stop_timeout: Option<String>,
    pub loop_device_timeout: Option<String>,
    pub event_buffer_size: Option<u64>,
    pub notification_buffer_size: Option<u64>,
    pub max_installs: Option<u64>,
    #[serde(default)]
    pub debug: Debug,
    pub user_namespaces: Option<UserNamespaces>,
    #[serde(default)]
    pub repositories: Repositories,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserNamespaces {
    pub first_id: Option<u64>,
    pub count: Option<u64>,
}

/// `console`: our list, or the tables of 0.9.2.
#[derive(Debug)]
pub(super) enum Console {
    List(Vec<Entry>),
    Tables(Box<Tables>),
}

impl Default for Console {
    fn default() -> Console {
        Console::List(Vec::new())
    }
}

/// `[console.global]` and `[console.options]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tables {
    pub global: Option<Global>,
    pub options: Option<Options>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Global {
    #[serde(alias = "url")]
    pub bind: String,
    pub permissions: Option<Permissions>,
    pub options: Option<Options>,
}

/// One element of the list `console`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub url: String,
    pub permissions: Option<Permissions>,
    pub mode: Option<String>,
    pub peers: Option<Vec<Peer>>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_ca: Option<PathBuf>,
    pub client_crl: Option<PathBuf>,
    pub options: Option<Options>,
}

/// One element of the list `console`: a bare URL is a table with nothing but its URL.
#[derive(Debug)]
pub(super) struct Entry(pub Table);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Peer {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub subject: Option<String>,
    pub permissions: Permissions,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    pub max_request_size: Option<String>,
    pub max_requests_per_sec: Option<u64>,
    pub max_npk_install_size: Option<String>,
    pub npk_stream_timeout: Option<String>,
    pub npk_min_rate: Option<String>,
    pub token_validity: Option<String>,
    pub connect_timeout: Option<String>,
    pub idle_timeout: Option<String>,
    pub stall_timeout: Option<String>,
    pub max_connections: Option<u64>,
    pub max_connections_per_peer: Option<u64>,
    pub max_pending_connections: Option<u64>,
    pub max_requests_per_sec_per_peer: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repository {
    #[serde(rename = "type")]
    pub kind: Kind,
    pub key: Option<PathBuf>,
    #[serde(default)]
    pub integrity: Integrity,
    #[serde(default)]
    pub missing: Missing,
    #[serde(default)]
    pub mount_on_start: bool,
    pub capacity_num: Option<u64>,
    pub capacity_size: Option<String>,
    pub start_command: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Kind {
    Mem,
    Fs { dir: PathBuf },
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Integrity {
    #[default]
    DmVerity,
    FullRead,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Missing {
    #[default]
    Refuse,
    Skip,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Debug {
    pub strace: Option<Strace>,
    pub perf: Option<Perf>,
    #[serde(default)]
    pub commands: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Strace {
    #[serde(default)]
    pub output: StraceOutput,
    #[serde(default)]
    pub flags: String,
    pub path: Option<PathBuf>,
    #[serde(default)]
    pub include_runtime: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StraceOutput {
    File,
    #[default]
    Log,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Perf {
    pub path: Option<PathBuf>,
    #[serde(default)]
    pub flags: String,
}

/// The repositories in the order of the file. The parser hands tables out sorted by name; the positions of the keys
/// tell how they were written.
#[derive(Debug, Default)]
pub(super) struct Repositories(pub Vec<(String, Repository)>);

impl<'de> Deserialize<'de> for Repositories {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Repositories, D::Error> {
        struct Tables;

        impl<'de> Visitor<'de> for Tables {
            type Value = Repositories;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tables [repositories.NAME]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Repositories, A::Error> {
                let mut found: Vec<(Spanned<String>, Repository)> = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    found.push(entry);
                }
                found.sort_by_key(|(name, _)| name.span().start);
                let named = |(name, table): (Spanned<String>, _)| (name.into_inner(), table);
                Ok(Repositories(found.into_iter().map(named).collect()))
            }
        }

        deserializer.deserialize_map(Tables)
    }
}

impl<'de> Deserialize<'de> for Console {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Console, D::Error> {
        struct Shapes;

        impl<'de> Visitor<'de> for Shapes {
            type Value = Console;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of URLs or tables with `url`, or the tables `console.global` and `console.options`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Console, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(Console::List(entries))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Console, A::Error> {
                let tables = Tables::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Console::Tables(Box::new(tables)))
            }
        }

        deserializer.deserialize_any(Shapes)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entry, D::Error> {
        struct Shapes;

        impl<'de> Visitor<'de> for Shapes {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or a table with `url`")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<Entry, E> {
                Ok(Entry(Table {
                    url: url.to_owned(),
                    ..Table::default()
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(Entry)
            }
        }

        deserializer.deserialize_any(Shapes)
    }
}
