//! The first line of a conversation.

use glob::Pattern;
use northstar_api::codec::decode;
use northstar_api::{ConnectNack, Message};
use northstar_manifest::Permission;

use super::{Greeting, Stream};
use crate::targets::session::play::Play;

/// Longest first line in bytes.
const LONGEST_CONNECT: usize = 12 * 1024;

pub fn greeting(play: &Play<'_>, stream: &mut Stream<'_>) -> Greeting {
    let Some(line) = stream.line(LONGEST_CONNECT) else {
        return Greeting::Nothing;
    };
    let connect = match decode(line) {
        Ok(Message::Connect(connect)) => connect,
        Ok(_) => return Greeting::Nothing,
        // It may be wrong in its extensions only.
        Err(_) if line.trim_ascii_start().starts_with(b"{") => return Greeting::NothingOrRefusal,
        Err(_) => return Greeting::Nothing,
    };
    let version = &connect.version;
    if version.major != 0
        || version.minor < 9
        || (version.minor, version.patch) == (9, 0) && !version.pre.is_empty()
    {
        let version = northstar_api::VERSION;
        return Greeting::Refusal(ConnectNack::InvalidProtocolVersion { version });
    }
    if !connect.subscribe_notifications {
        return Greeting::Welcome(Box::new(connect));
    }
    if !play.permissions.contains(Permission::Notifications) {
        return Greeting::Refusal(ConnectNack::PermissionDenied);
    }
    let filter = connect
        .extensions
        .as_ref()
        .and_then(|asked| asked.filter.as_ref());
    let patterns = filter.map_or(&[][..], |filter| &filter.containers);
    let is_good = |pattern: &String| pattern.len() <= 128 && Pattern::new(pattern).is_ok();
    match patterns.len() <= 64 && patterns.iter().all(is_good) {
        true => Greeting::Welcome(Box::new(connect)),
        false => Greeting::Filter,
    }
}
