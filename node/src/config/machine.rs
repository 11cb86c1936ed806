//! What the validator uses of its machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::values::from_str;

super::declare::settings! {
    pub(crate) struct MachineConfig {
        /// this validator's database, mesh key and unfinished tasks
        LEOMA_STATE_DIR = setting("a folder", Some("~/.leoma"))
            => state_dir: PathBuf, path();
        /// this validator's own pages, /livez, /readyz, /metrics and /status
        LEOMA_HTTP_LISTEN =
            setting("an address and port such as 127.0.0.1:9090", Some("127.0.0.1:9090"))
            => http_listen: SocketAddr, parsed(from_str);
    }
}
