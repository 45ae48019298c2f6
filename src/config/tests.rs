use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| (*name, *value)).collect()
}

fn read(toml: &str) -> Result<Config, ConfigError> {
    read_with(toml, &[])
}

fn read_with(toml: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&Sources::new(environment(pairs)).text("beluga.toml", toml))
}

/// Returns the paths of all problems, and their text.
fn refused(toml: &str) -> (Vec<String>, String) {
    let error = read(toml).unwrap_err();
    (error.problems.iter().map(|problem| problem.path.clone()).collect(), error.to_string())
}

#[test]
fn nothing_gives_the_assistant_and_the_offline_model() {
    let config = read("").unwrap();
    assert_eq!(config.providers["default"].kind, "offline");
    let assistant = &config.agents["assistant"];
    assert_eq!((assistant.model.as_deref(), assistant.tools.len()), (Some("default"), 3));
    assert!(config.remembers(assistant, MemoryTier::Core) && config.remembers(assistant, MemoryTier::Recall));
    assert_eq!(config.http.addr, "127.0.0.1:8080");
}

#[test]
fn the_environment_chooses_the_provider_in_a_documented_order() {
    let kind = |pairs: &[(&str, &str)]| read_with("", pairs).unwrap().providers["default"].kind.clone();
    assert_eq!(kind(&[("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")]), "openai-compatible");
    assert_eq!(kind(&[("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), ("OPENAI_API_KEY", "sk-1")]), "openai");
    let compatible = read_with("", &[("OPENAI_BASE_URL", "http://127.0.0.1:1/v1"), ("OPENAI_MODEL", "mine")]).unwrap();
    let compatible = &compatible.providers["default"];
    assert_eq!(compatible.base_url.as_deref(), Some("http://127.0.0.1:1/v1"));
    assert_eq!(compatible.model.as_deref(), Some("mine"));
    assert_eq!(kind(&[("OPENAI_API_KEY", "sk-1"), ("ANTHROPIC_API_KEY", "sk-2")]), "anthropic");
    assert_eq!(kind(&[("OPENAI_API_KEY", "")]), "offline");
    assert_eq!(kind(&[("OPENAI_API_KEY", "sk-1"), ("BELUGA__PROVIDERS__DEFAULT__KIND", "offline")]), "offline");
}

#[test]
fn a_router_is_a_model_of_known_providers() {
    let providers = "[providers.a]\nkind = \"offline\"\n[providers.b]\nkind = \"offline\"\n";
    let config = read(&format!(
        "{providers}[routers.all]\nroutes = [\"a\", {{ provider = \"b\", vision = false, context_tokens = 8000 }}]\n\
         strategy = \"latency\"\nhedge_after = \"2s\"\ncache = {{ ttl = \"1m\", single_flight = true }}\n\
         [agents.x]\nmodel = \"all\"\nfallback = [\"b\"]\n"
    ));
    let config = config.unwrap();
    let router = &config.routers["all"];
    assert_eq!((router.strategy, router.routes[1].provider()), (RouterStrategy::Latency, "b"));
    let cache = router.cache.as_ref().unwrap();
    assert_eq!((cache.entries, cache.ttl, cache.single_flight), (1_024, Period::from_secs(60), true));
    let (paths, text) = refused(&format!(
        "{providers}[routers.a]\nroutes = [\"b\"]\n[routers.r]\nroutes = [\"c\", \"a\", \"a\"]\nhedge_after = \"0s\"\n\
         [routers.none]\nroutes = []\n[agents.x]\nmodel = \"al\"\n"
    ));
    for path in
        ["routers.a", "routers.r.routes[0]", "routers.r.routes[2]", "routers.r.hedge_after", "routers.none.routes"]
    {
        assert!(paths.iter().any(|have| have == path), "{path} is missing in {text}");
    }
    let (_, text) = refused(&format!("{providers}[routers.all]\nroutes = [\"a\"]\n[agents.x]\nmodel = \"alll\"\n"));
    assert!(text.contains("did you mean \"all\""), "{text}");
}

#[test]
fn embedders_and_rerankers_have_names_and_wrong_fields_are_told_by_path() {
    let toml = "[embedders.words]\nkind = \"local\"\n[embedders.main]\nkind = \"voyage\"\napi_key_env = \"MY_KEY\"\n\
                timeout = \"5s\"\noptions = { dimensions = 512 }\nlimits = { rpm = 300 }\n\
                [rerankers.best]\nkind = \"cohere\"\n";
    let config = read_with(toml, &[("MY_KEY", "k"), ("COHERE_API_KEY", "k")]).unwrap();
    let main = &config.embedders["main"];
    assert_eq!(
        (main.timeout, main.limits.rpm, &main.options["dimensions"]),
        (Period::from_secs(5), Some(300), &json!(512))
    );
    assert_eq!((config.embedders["words"].kind.as_str(), config.rerankers["best"].kind.as_str()), ("local", "cohere"));
    let (paths, text) = refused(
        "[embedders.a]\nkind = \"voyag\"\n[embedders.b]\nkind = \"jina\"\n[embedders.c]\nkind = \"openai-compatible\"\n\
         [embedders.d]\nkind = \"local\"\nbase_url = \"ftp://x\"\ntimeout = \"0s\"\n\
         [rerankers.e]\nkind = \"openai\"\n[rerankers.f]\nkind = \"cohere\"\napi_key_env = \"NOT_SET\"\n",
    );
    for path in [
        "embedders.a.kind",
        "embedders.b",
        "embedders.c.model",
        "embedders.c.base_url",
        "embedders.d.base_url",
        "embedders.d.timeout",
        "rerankers.e.kind",
        "rerankers.f.api_key_env",
    ] {
        assert!(paths.iter().any(|have| have == path), "{path} is missing in {text}");
    }
    assert!(text.contains("did you mean \"voyage\"") && text.contains("set JINA_API_KEY"), "{text}");
    let (paths, _) = refused("[embedders.a]\nkind = \"local\"\nmodell = \"x\"\n");
    assert_eq!(paths, ["embedders.a.modell"]);
}

#[test]
fn budgets_and_prices_are_in_dollars_and_have_windows_where_they_may() {
    let config = read(
        "[budgets]\noutput_tokens = 500\nrun = { tokens = 20000, cost_usd = 0.25 }\n\
         tenant = { cost_usd = 10, every = \"1d\" }\n[budgets.node]\nrequests = 7\n\
         [tenants.acme]\nbudget = { tokens = 5 }\n[tiers.gold]\nbudget = { time = \"1h\" }\n\
         [prices.\"gpt-x\"]\nprovider = \"openai\"\ninput = 2.5\noutput = 15\n\
         [agents.x]\nbudget = { requests = 3 }\n",
    );
    let config = config.unwrap();
    let budgets = &config.budgets;
    assert_eq!(
        (budgets.run.cost_usd, budgets.tenant.every),
        (Some(Usd::from_micro(250_000)), Some(Period::from_secs(86_400)))
    );
    assert_eq!((budgets.node.requests, config.agents["x"].budget.unwrap().requests), (Some(7), Some(3)));
    assert_eq!((config.prices["gpt-x"].input.micro(), config.prices["gpt-x"].cached_input), (2_500_000, None));
    let windows =
        "[budgets]\nrun = { every = \"1d\" }\nnode = { every = \"0s\" }\n[agents.x]\nbudget = { every = \"1d\" }\n";
    let (paths, text) = refused(windows);
    for path in ["budgets.run.every", "budgets.node.every", "agents.x.budget.every"] {
        assert!(paths.iter().any(|have| have == path), "{path} is missing in {text}");
    }
    let (paths, text) = refused("[budgets]\nnode = { tokens = 0 }\n[prices.y]\ninput = -1\noutput = 1\n");
    assert_eq!(paths, ["budgets.node.tokens", "prices.y.input"], "{text}");
}

#[test]
fn every_problem_is_listed_with_its_path_place_and_hint() {
    let (paths, text) = refused(
        r#"
[providers.main]
kind = "opnai"
timeout = 30
api_key = "sk-very-secret"

[providers.second]
kind = "offline"
model = "rules-1"
limits = { rpm = 0, tpn = 5 }

[agents.support]
model = "gpt-5-mini"
tools = ["calculator", "clok"]
handoffs = ["biling", { agent = "support" }, { agent = "billing", mode = "swap" }]

[agents.billing]
model = "rules-1"
fallback = ["second", "second"]

[agnets.other]
model = "main"

[tools.http]
allow = ["https://example.com"]

[journal]
kind = "postgres"

[http]
addr = "nowhere"
"#,
    );
    let expected = [
        "providers.main.kind",
        "providers.main.timeout",
        "providers.main.api_key",
        "providers.second.limits.rpm",
        "providers.second.limits.tpn",
        "agents.support.model",
        "agents.support.tools[1]",
        "agents.support.handoffs[0]",
        "agents.support.handoffs[2].mode",
        "agents.billing.model",
        "agents.billing.fallback[1]",
        "agnets",
        "tools.http.allow[0]",
        "journal.kind",
        "http.addr",
    ];
    for path in expected {
        assert!(paths.iter().any(|have| have == path), "{path} is missing in\n{text}");
    }
    for hint in [
        "beluga.toml:3:1: providers.main.kind: unknown kind \"opnai\"\n    hint: did you mean \"openai\"?",
        "must be text, not a number",
        "api_key_env = \"THE_NAME_OF_A_VARIABLE\"",
        "must be at least 1, not 0",
        "did you mean \"tpm\"?",
        "\"gpt-5-mini\" looks like a vendor's model id",
        "did you mean \"clock\"?",
        "did you mean \"billing\"?",
        "is the vendor's model id of provider \"second\"; name the provider: model = \"second\"",
        "agnets: unknown key\n    hint: did you mean \"agents\"?",
        "\"https://example.com\" is no host:port",
        "unknown value \"postgres\"\n    hint: known: sqlite, nats, memory",
    ] {
        assert!(text.contains(hint), "{hint:?} is missing in\n{text}");
    }
    assert!(!text.contains("sk-very-secret"));
}

#[test]
fn text_that_is_no_toml_is_refused_with_line_and_column() {
    let (_, text) = refused("[agents.a\nmodel = \"x\"\n");
    assert!(text.contains("beluga.toml:1:"), "{text}");
    let (_, text) = refused("[http]\naddr = \"127.0.0.1:1\"\naddr = \"127.0.0.1:2\"\n");
    assert!(text.contains("beluga.toml:3:"), "{text}");
}

#[test]
fn a_missing_key_names_the_variable() {
    let (paths, text) = refused("[providers.main]\nkind = \"anthropic\"\n");
    assert_eq!(paths, ["providers.main"]);
    assert!(text.contains("set ANTHROPIC_API_KEY"), "{text}");
    let (paths, text) = refused("[providers.main]\nkind = \"openai\"\napi_key_env = \"MY_KEY\"\n");
    assert_eq!(paths, ["providers.main.api_key_env"]);
    assert!(text.contains("MY_KEY is not set"), "{text}");
    let toml = "[providers.main]\nkind = \"openai\"\napi_key_env = \"MY_KEY\"\n";
    assert!(read_with(toml, &[("MY_KEY", "sk-1")]).is_ok());
}

#[test]
fn a_compatible_server_needs_an_address_and_a_model() {
    let (paths, _) = refused("[providers.m]\nkind = \"openai-compatible\"\n");
    assert_eq!(paths, ["providers.m.model", "providers.m.base_url"]);
}

#[test]
fn an_address_with_credentials_is_refused() {
    let toml = "[providers.m]\nkind = \"openai-compatible\"\nmodel = \"m\"\nbase_url = \"http://user:pa55@h/v1\"\n";
    let (paths, text) = refused(toml);
    assert_eq!(paths, ["providers.m.base_url"]);
    assert!(!text.contains("pa55"));
}

#[test]
fn the_environment_wins_over_the_file_and_keeps_the_schema_s_types() {
    let toml = "[providers.Main-One]\nkind = \"offline\"\n[http]\naddr = \"127.0.0.1:1\"\n[agents.a]\n";
    let config = read_with(
        toml,
        &[
            ("BELUGA__HTTP__ADDR", "127.0.0.1:2"),
            ("BELUGA__HTTP__BODY_LIMIT_BYTES", "2048"),
            ("BELUGA__HTTP__TRUST_TENANT_HEADER", "true"),
            ("BELUGA__PROVIDERS__MAIN_ONE__MODEL", "42"),
            ("BELUGA__AGENTS__A__TOOLS", "[\"clock\"]"),
            ("BELUGA__JOURNAL__KIND", "memory"),
        ],
    )
    .unwrap();
    assert_eq!((config.http.addr.as_str(), config.http.body_limit_bytes), ("127.0.0.1:2", 2048));
    assert!(config.http.trust_tenant_header);
    assert_eq!(config.providers["Main-One"].model.as_deref(), Some("42"));
    assert_eq!(
        (config.agents["a"].tools.as_slice(), config.journal.kind),
        (&["clock".to_owned()][..], JournalKind::Memory)
    );
    let error = read_with("", &[("BELUGA__HTTP__BODY_LIMIT_BYTES", "lots")]).unwrap_err();
    assert_eq!(error.problems[0].path, "http.body_limit_bytes");
    let error = read_with("", &[("BELUGA__HTPT__ADDR", "x")]).unwrap_err();
    assert_eq!(error.problems[0].path, "htpt");
}

#[test]
fn an_agent_needs_a_model_only_among_several_providers() {
    let two = "[providers.a]\nkind = \"offline\"\n[providers.b]\nkind = \"offline\"\n";
    let (paths, _) = refused(&format!("{two}[agents.x]\n"));
    assert_eq!(paths, ["agents.x.model"]);
    let config = read("[providers.a]\nkind = \"offline\"\n[agents.x]\n").unwrap();
    assert_eq!(config.agents["x"].model.as_deref(), Some("a"));
    let default = format!("{two}[providers.default]\nkind = \"offline\"\n[agents.x]\n");
    assert_eq!(read(&default).unwrap().agents["x"].model.as_deref(), Some("default"));
}

#[test]
fn names_that_are_unfit_for_a_path_are_refused() {
    let (paths, _) = refused("[providers.\"a/b\"]\nkind = \"offline\"\n[agents.\"../x\"]\n");
    assert_eq!(paths, ["providers.\"a/b\"", "agents.\"../x\""]);
}

#[test]
fn the_watchdog_has_bounds_that_are_named() {
    let (paths, text) =
        refused("[watchdog]\nperiod = \"0s\"\nstuck_after = \"0ms\"\nblocked_after = \"1ms\"\nperiods = \"1s\"\n");
    for path in ["watchdog.period", "watchdog.stuck_after", "watchdog.blocked_after", "watchdog.periods"] {
        assert!(paths.iter().any(|have| have == path), "{path} is missing in\n{text}");
    }
    assert!(text.contains("must be 10ms to 1m") && text.contains("enabled = false switches it off"), "{text}");
    let defaults = read("").unwrap().watchdog;
    assert!(defaults.enabled && defaults.stuck_after == Period::from_secs(30));
    assert!(!read("[watchdog]\nenabled = false\nperiod = \"1m\"\n").unwrap().watchdog.enabled);
}

#[test]
fn what_is_printed_is_masked() {
    let toml = "[providers.m]\nkind = \"offline\"\n[providers.m.options]\nauthorization = \"Bearer abcdef\"\n";
    let masked = read(toml).unwrap().masked();
    assert_eq!(masked["providers"]["m"]["options"]["authorization"], json!("Be****ef"));
}

#[test]
fn a_written_configuration_reads_back_the_same() {
    let config =
        read("[agents.a]\nhandoffs = [{ agent = \"b\", mode = \"return\" }]\nmemory = []\n[agents.b]\n").unwrap();
    let text = toml::to_string(&config).unwrap();
    assert_eq!(read(&text).unwrap(), config);
    assert!(!config.remembers(&config.agents["a"], MemoryTier::Core));
}

#[test]
fn the_schema_names_every_section_and_never_null() {
    let schema = schema::<Config>();
    for section in ["providers", "tools", "agents", "memory", "journal", "http", "limits", "watchdog"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    assert!(!schema.to_string().contains("\"null\""));
}

#[test]
fn a_file_that_is_binary_or_huge_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("beluga.toml");
    let sources = || Sources::new(Environment::default()).file(&path);
    assert!(sources().unwrap_err().to_string().contains("cannot be read"));
    std::fs::write(&path, [b'a', b'=', 0xff]).unwrap();
    assert!(sources().unwrap_err().to_string().contains("no UTF-8 text: bad byte at 2"));
    std::fs::write(&path, vec![b'#'; usize::try_from(FILE_MAX_BYTES).unwrap() + 1]).unwrap();
    assert!(sources().unwrap_err().to_string().contains("at most 1048576"));
}

/// Real time: the file system reports changes from a thread of its own.
#[tokio::test]
async fn an_edited_file_is_applied_and_a_broken_one_never_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("beluga.toml");
    std::fs::write(&path, "[http]\nmax_connections = 1\n").unwrap();
    let (applied, seen) = mpsc::channel();
    let loaded = Sources::new(Environment::default()).file(&path).unwrap();
    let watcher = Watcher::start(&path, &loaded, move |config: Config| {
        applied.send(config.http.max_connections).unwrap();
    })
    .unwrap();
    let next = move || {
        let answer = seen.recv_timeout(Duration::from_secs(20));
        (answer, seen)
    };
    std::fs::write(&path, "[http]\nmax_connections = \"two\"\n").unwrap();
    beluga_runtime::time::sleep(DEBOUNCE * 3).await;
    // An editor writes beside the file and renames.
    let draft = directory.path().join("draft");
    std::fs::write(&draft, "[http]\nmax_connections = 3\n").unwrap();
    std::fs::rename(&draft, &path).unwrap();
    let (answer, seen) = beluga_runtime::task::spawn_blocking("wait", next).await.unwrap();
    assert_eq!(answer, Ok(3), "the broken version was skipped");
    assert!(seen.try_recv().is_err());
    drop(watcher);
}

#[test]
fn a_pool_is_read_with_its_defaults_and_its_problems_name_the_field() {
    let config = read(
        r#"
[tools.http]
pool = { workers = 4, queue = 100, routing = "key" }

[providers.main]
kind = "offline"
pool = { workers = 2 }
"#,
    )
    .unwrap();
    let size = config.tools.http.pool.unwrap().size();
    assert_eq!((size.workers, size.queue, size.routing), (4, 100, beluga_runtime::Routing::KeyPersistent));
    let size = config.providers["main"].pool.unwrap().size();
    assert_eq!(size, beluga_runtime::PoolSettings { workers: 2, ..beluga_runtime::PoolSettings::default() });
    assert_eq!(config.tools.clock.pool, None);

    let (paths, text) = refused(
        r#"
[tools.http]
pool = { workers = 0, routing = "sticki" }

[tools.clock]
pool = { queue = 10 }

[providers.main]
kind = "offline"
pool = { workers = 2, size = 3 }
"#,
    );
    let wanted =
        ["providers.main.pool.size", "tools.clock.pool.workers", "tools.http.pool.routing", "tools.http.pool.workers"];
    let mut paths = paths;
    paths.sort();
    assert_eq!(paths, wanted);
    assert!(text.contains("must be at least 1, not 0") && text.contains("sticky"), "{text}");
}

#[test]
fn a_pool_has_at_most_as_many_workers_as_the_kernel_allows() {
    let of = |workers: usize| format!("[tools.clock]\npool = {{ workers = {workers} }}\n");
    assert!(read(&of(beluga_runtime::WORKERS_MAX)).is_ok());
    assert_eq!(refused(&of(beluga_runtime::WORKERS_MAX + 1)).0, ["tools.clock.pool.workers"]);
}

#[test]
fn a_context_is_checked_field_by_field() {
    let provider = "[providers.a]\nkind = \"offline\"\n";
    let context = |fields: &str| format!("{provider}[agents.x]\nmodel = \"a\"\n[agents.x.context]\n{fields}\n");
    let config = read(&context("strategy = \"adaptive\"\nmodel = \"a\"")).unwrap();
    let settings = config.agents["x"].context.as_ref().unwrap();
    assert_eq!((settings.strategy, settings.tokens, settings.turns), (ContextStrategy::Adaptive, None, None));
    for (fields, field, words) in [
        ("tokens = 255", "tokens", "256"),
        ("turns = 4", "turns", "\"sliding\" alone"),
        ("strategy = \"sliding\"\nturns = 0", "turns", ""),
        ("model = \"a\"", "model", "\"summarise\" and \"adaptive\" alone"),
        ("strategy = \"summarise\"\nmodel = \"b\"", "model", "b"),
        ("tokenizer = \"o200k_bas\"", "tokenizer", "did you mean \"o200k_base\""),
        ("strategy = \"forget\"", "strategy", "forget"),
    ] {
        let (paths, text) = refused(&context(fields));
        assert_eq!(paths, [format!("agents.x.context.{field}")], "{text}");
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn what_models_read_and_write_is_told_by_family() {
    let config =
        read("[models.\"large-2\"]\nprovider = \"acme\"\ncontext_tokens = 8000\noutput_tokens = 800\n").unwrap();
    let facts = &config.models["large-2"];
    assert_eq!(
        (facts.provider.as_deref(), facts.context_tokens, facts.output_tokens),
        (Some("acme"), 8_000, Some(800))
    );
    let (paths, text) = refused("[models.a]\ncontext_tokens = 255\n");
    assert_eq!(paths, ["models.a.context_tokens"], "{text}");
    let (paths, text) = refused(
        "[models.b]\ncontext_tokens = 1000\noutput_tokens = 1001\n\
         [models.c]\ncontext_tokens = 1000\ntokenizer = \"words\"\n",
    );
    for path in ["models.b.output_tokens", "models.c.tokenizer"] {
        assert!(paths.iter().any(|have| have == path), "{path} is missing in {text}");
    }
}
