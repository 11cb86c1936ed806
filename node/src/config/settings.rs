//! The list of settings: name, meaning, accepted form, default, and whether it is a secret.
//!
//! This table drives parsing, error messages and `leoma config show`.

/// One setting. In the environment it has the name below; in a file the same name in lower case.
#[derive(Debug)]
pub struct Setting {
    /// Name in the environment.
    pub name: &'static str,
    /// What values are accepted, completing "must be …".
    pub accepted: &'static str,
    /// Value when nothing sets it; `None` means unset.
    pub default: Option<&'static str>,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Its purpose.
    pub help: &'static str,
}

const fn setting(
    name: &'static str,
    accepted: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Setting {
    Setting { name, accepted, default, secret: false, help }
}

const fn secret(name: &'static str, help: &'static str) -> Setting {
    Setting { name, accepted: "a text", default: None, secret: true, help }
}

/// Public key of drand's quicknet, whose signatures the live chain keeps.
const QUICKNET: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451\
                        0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";

/// Every setting, in the order in which `leoma config show` prints them.
pub const SETTINGS: &[Setting] = &[
    setting(
        "NETWORK",
        "finney, test, local or a ws:// or wss:// address",
        Some("finney"),
        "the chain",
    ),
    setting(
        "CHAIN_ENDPOINTS",
        "ws:// or wss:// addresses, separated by commas",
        None,
        "chain nodes to use instead of the network's own, the preferred one first; with several, a failing one is passed over \
         and one that contradicts the others dropped",
    ),
    setting(
        "LEOMA_DRAND_PUBLIC_KEY",
        "192 hexadecimal digits, a compressed point of G2",
        Some(QUICKNET),
        "public key of the drand beacon that opens timelocked weights; change it only for a local chain",
    ),
    setting("NETUID", "a number from 0 to 65535", Some("99"), "the subnet"),
    setting("WALLET_PATH", "a folder", Some("~/.bittensor/wallets"), "the folder of wallets"),
    setting("WALLET_NAME", "a folder's name", Some("default"), "the wallet"),
    setting("HOTKEY_NAME", "a file's name", Some("default"), "the hotkey in that wallet"),
    secret(
        "WALLET_PASSWORD",
        "password of an encrypted hotkey; the Python wallet's BT_PW_ variable for the file takes precedence",
    ),
    setting(
        "WALLET_PASSWORD_FILE",
        "a file",
        None,
        "a file that holds the hotkey's password, if WALLET_PASSWORD is not set",
    ),
    setting(
        "COLDKEY_PASSWORD_FILE",
        "a file",
        None,
        "a file that holds the password of an encrypted coldkey",
    ),
    setting(
        "LEOMA_STATE_DIR",
        "a folder",
        Some("~/.leoma"),
        "this validator's database, mesh key and unfinished tasks",
    ),
    setting(
        "LEOMA_HTTP_LISTEN",
        "an address and port such as 127.0.0.1:9090",
        Some("127.0.0.1:9090"),
        "/livez, /readyz, /metrics and /status",
    ),
    setting(
        "LEOMA_MESH_LISTEN",
        "multiaddresses, separated by commas",
        Some("/ip4/0.0.0.0/tcp/4070,/ip4/0.0.0.0/udp/4070/quic-v1"),
        "where the mesh listens",
    ),
    setting(
        "LEOMA_MESH_EXTERNAL",
        "multiaddresses, separated by commas",
        None,
        "addresses at which peers reach this validator, when they differ from those it listens on; the first with an IP \
         address becomes its axon entry on the chain",
    ),
    setting(
        "LEOMA_BOOTNODES",
        "multiaddresses that end in /p2p/<peer id>, separated by commas",
        None,
        "peers to dial first",
    ),
    setting(
        "LEOMA_MESH_RELAY_SERVE",
        "true or false",
        Some("false"),
        "relay connections between validators that cannot dial each other",
    ),
    setting(
        "LEOMA_MESH_RELAY_VIA",
        "up to 3 multiaddresses that end in /p2p/<peer id>, separated by commas",
        None,
        "validators that relay connections to this one, when nobody can dial it directly",
    ),
    setting("LEOMA_MDNS", "true or false", Some("false"), "find peers on the local network"),
    setting(
        "LEOMA_DEVICE",
        "auto, cuda, cuda:N or cpu",
        Some("auto"),
        "the device that scores video",
    ),
    setting(
        "LEOMA_TASK",
        "ti2v, t2v or i2v",
        Some("ti2v"),
        "what miners are given: a first frame and a prompt, a prompt (needs LEOMA_JUDGE gemini or both), or a first frame",
    ),
    setting(
        "LEOMA_JUDGE",
        "local, gemini or both",
        Some("local"),
        "who judges: the metrics, Gemini, or the lower of both; Gemini then writes the prompts too",
    ),
    setting(
        "LEOMA_TEXT_MODEL",
        "a folder with config.json, model.safetensors and tokenizer.json",
        None,
        "a CLIP or SigLIP model that says, beside the metrics, how well videos show their prompts",
    ),
    setting(
        "SAMPLER_POLL_INTERVAL",
        "seconds, 1 to 3600",
        Some("60"),
        "how often source videos are listed",
    ),
    setting(
        "MINER_VALIDATION_INTERVAL",
        "seconds, 1 to 86400",
        Some("300"),
        "how often miners are checked",
    ),
    setting(
        "MAX_CONCURRENT_MINERS",
        "a number from 1 to 256",
        Some("40"),
        "miners asked at a time",
    ),
    setting("REQUEST_TIMEOUT", "seconds, 1 to 3600", Some("300"), "time a miner has to answer"),
    setting(
        "CLIP_DURATION",
        "seconds, 5",
        Some("5"),
        "length of a clip; the subnet's rules leave no choice",
    ),
    setting("REQUIRED_VIDEO_WIDTH", "pixels, 16 to 4096", Some("832"), "width of a video"),
    setting("REQUIRED_VIDEO_HEIGHT", "pixels, 16 to 4096", Some("480"), "height of a video"),
    setting(
        "VIDEO_RESOLUTION_TOLERANCE",
        "pixels, 0 to 512",
        Some("32"),
        "largest difference of an answer's width or height",
    ),
    setting(
        "MIN_VIDEO_SIZE",
        "bytes, or a number with KB or MB",
        Some("1 MB"),
        "smaller source videos are ignored, where the corpus has no manifest",
    ),
    setting(
        "MAX_VIDEO_SIZE",
        "bytes, or a number with KB or MB",
        Some("200 MB"),
        "larger source videos are ignored, where the corpus has no manifest",
    ),
    setting(
        "CHUTE_CACHE_TTL",
        "seconds, 0 to 86400",
        Some("300"),
        "how long a chute's state is cached",
    ),
    setting(
        "MODEL_HASH_CACHE_TTL",
        "seconds, 0 to 86400",
        Some("3600"),
        "how long a model's hash is cached",
    ),
    setting(
        "CHUTES_API_URL",
        "an http:// or https:// address",
        Some("https://api.chutes.ai"),
        "the Chutes API",
    ),
    setting(
        "CHUTES_GENERATE_URL",
        "an http:// or https:// address that holds {slug}",
        Some("https://{slug}.chutes.ai/generate"),
        "address of a miner's endpoint",
    ),
    secret("CHUTES_API_KEY", "key for the Chutes API and the miners' endpoints"),
    setting(
        "HF_API_URL",
        "an http:// or https:// address",
        Some("https://huggingface.co"),
        "the Hugging Face API",
    ),
    secret("HF_TOKEN", "token for the Hugging Face API, for gated models"),
    setting(
        "GEMINI_API_URL",
        "an http:// or https:// address",
        Some("https://generativelanguage.googleapis.com"),
        "the judge's API",
    ),
    setting("GEMINI_MODEL", "a model's name", Some("gemini-2.5-flash"), "the judge's model"),
    secret("GEMINI_API_KEY", "key for the judge's API"),
    setting(
        "R2_ENDPOINT",
        "an http:// or https:// address",
        None,
        "the source bucket's S3 endpoint",
    ),
    setting("R2_REGION", "a region's name", Some("auto"), "the source bucket's region"),
    setting("R2_SOURCE_BUCKET", "a bucket's name", None, "the source bucket"),
    secret("R2_VIDEOS_READ_ACCESS_KEY", "read key of the source bucket"),
    secret("R2_VIDEOS_READ_SECRET_KEY", "read key of the source bucket"),
    secret("R2_VIDEOS_WRITE_ACCESS_KEY", "subnet owner only: write key of the source bucket"),
    secret("R2_VIDEOS_WRITE_SECRET_KEY", "subnet owner only: write key of the source bucket"),
    setting(
        "R2_OWN_ENDPOINT",
        "an http:// or https:// address",
        None,
        "this validator's own S3 endpoint; R2_ENDPOINT where unset",
    ),
    setting("R2_OWN_REGION", "a region's name", Some("auto"), "the own bucket's region"),
    setting("R2_OWN_BUCKET", "a bucket's name", None, "this validator's own bucket"),
    secret("R2_OWN_WRITE_ACCESS_KEY", "write key of the own bucket"),
    secret("R2_OWN_WRITE_SECRET_KEY", "write key of the own bucket"),
    secret(
        "R2_OWN_READ_ACCESS_KEY",
        "read-only key of the own bucket, handed to peers over the mesh",
    ),
    secret(
        "R2_OWN_READ_SECRET_KEY",
        "read-only key of the own bucket, handed to peers over the mesh",
    ),
    Setting {
        name: "PEER_VALIDATORS",
        accepted: "a JSON list of {hotkey, bucket, endpoint, region?, read_access_key, read_secret_key}",
        default: None,
        secret: true,
        help: "peers' buckets, for a mesh without grants; takes precedence over a grant",
    },
    setting(
        "LOG_LEVEL",
        "error, warn, info, debug, trace, or a tracing filter",
        Some("info"),
        "the level or filter of the log",
    ),
    setting("LOG_FORMAT", "text or json", Some("text"), "the format of the log"),
];

/// Names that other implementations read and this one ignores.
pub const KNOWN_ELSEWHERE: &[&str] = &[
    "API_URL",
    "EPOCH_LEN",
    "LEOMA_ENV",
    "CORS_ORIGINS",
    "ADMIN_HOTKEYS",
    "SIGNATURE_EXPIRY_SECONDS",
    "WATCHTOWER_POLL_INTERVAL",
];

/// The setting with this environment name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}
