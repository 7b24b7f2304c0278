"""Which local proxy a process is: by what it effectively runs, and never by mere words."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.proxies.identify import ProxyIdentity, identify, names_port, program_of
from guard.sources.processes import Snapshot

PY = "/usr/bin/python3.11"
NODE = "/usr/bin/node"


def of(
    *argv: str,
    exe: str = "",
    cwd: str = "/home/u",
    ports: tuple[int, ...] = (),
    parents: tuple[Snapshot, ...] = (),
    comm: str = "",
) -> ProxyIdentity:
    snapshot = Snapshot(4711, argv=argv, exe=exe, cwd=cwd, comm=comm)
    return identify(snapshot, ports=ports, parents=parents)


def proxy(found: ProxyIdentity) -> str:
    return found.proxy.id if found.proxy is not None else ""


PROXIES = [
    # console scripts: the kernel puts the interpreter before them
    (("/venv/bin/python3", "/venv/bin/litellm", "--port", "4000"), PY, "litellm"),
    (("python3", "-m", "litellm"), PY, "litellm"),
    (("python3", "-mlitellm", "--port=1"), PY, "litellm"),
    (("python3", "-Im", "litellm.proxy.proxy_cli"), PY, "litellm"),
    (("python3", "-X", "dev", "-W", "ignore", "-u", "-m", "litellm"), PY, "litellm"),
    (("python3", "/v/lib/python3.11/site-packages/litellm/proxy/proxy_cli.py"), PY, "litellm"),
    (("python3", "/v/bin/uvicorn", "litellm.proxy.proxy_server:app"), PY, "litellm"),
    (("python3", "-m", "uvicorn", "--port", "1", "litellm.proxy.proxy_server:app"), PY, "litellm"),
    (("python3", "/v/bin/gunicorn", "litellm.proxy.proxy_server:app", "-w", "2"), PY, "litellm"),
    (("gunicorn: master [litellm.proxy.proxy_server:app]",), PY, "litellm"),
    (("python", "-m", "vllm.entrypoints.openai.api_server"), PY, "vllm"),
    (("VLLM::EngineCore",), PY, "vllm"),
    (("python", "-m", "llama_cpp.server"), PY, "llama-cpp-python"),
    (("python3", "/usr/bin/mitmdump", "-p", "8080"), PY, "mitmproxy"),
    # an npm package by its file, under whatever name its link has
    (
        ("node", "/p/node_modules/@portkey-ai/gateway/build/start-server.js"),
        NODE,
        "portkey-gateway-oss",
    ),
    (("node", "--max-old-space-size=99", "/g/node_modules/9router/cli.js"), NODE, "9router"),
    (("bun", "run", "/g/node_modules/copilot-api/dist/main.js", "start"), "/b/bun", "copilot-api"),
    (("node", "/usr/lib/node_modules/.bin/ccr", "start"), NODE, "claude-code-router"),
    (("npm exec @portkey-ai/gateway",), NODE, "portkey-gateway-oss"),
    (("next-server (v16.3.4)",), NODE, ""),
    # programs
    (("ollama", "serve"), "/usr/local/bin/ollama", "ollama"),
    (("/bin/anything", "serve"), "/usr/local/bin/ollama", "ollama"),
    (("ollama", "serve"), "/nix/store/x/bin/.ollama-wrapped", "ollama"),
    (("ollama", "serve"), "/opt/versions/ollama-0.9", "ollama"),
    (("OLLAMA", "runner"), "/Applications/Ollama.app/Contents/Resources/ollama", "ollama"),
    (("codex", "responses-api-proxy"), "/usr/bin/codex", "codex-responses-api-proxy"),
    (("vllm", "serve", "m"), "/usr/bin/vllm", "vllm"),
    (("gateway", "--config-file", "t.toml"), "/usr/bin/gateway", "tensorzero"),
    (("/m/x.llamafile", "--server"), "/usr/bin/ape-x86_64.elf", "llamafile"),
    (("ape", "/m/x.llamafile", "--server"), "/usr/bin/ape", "llamafile"),
    (("/lib/ld-linux.so.2", "/opt/llama-server"), "/lib/ld-linux.so.2", "llama-cpp-server"),
]  # fmt: skip


@pytest.mark.parametrize(("argv", "exe", "wanted"), PROXIES, ids=lambda v: str(v)[:60])
def test_proxies(argv: tuple[str, ...], exe: str, wanted: str) -> None:
    found = of(*argv, exe=exe)
    assert proxy(found) == wanted
    assert bool(found.how) == bool(wanted)


@pytest.mark.parametrize(
    "argv",
    [
        ("ollama", "list"),
        ("ollama", "run", "llama3"),
        ("pip", "install", "litellm"),
        ("python3", "/usr/bin/pip", "install", "litellm"),
        ("python3", "-m", "pip", "install", "litellm"),
        ("python3", "-c", "import litellm; litellm.main()"),
        ("python3", "-m", "http.server", "4000"),
        ("python3", "-m", "pytest", "litellm"),
        ("grep", "litellm"),
        ("vim", "/src/litellm/proxy/proxy_cli.py"),
        ("code", "/home/u/claude-code-router"),
        ("sh", "-c", "exec litellm --port 4000"),
        ("bash", "/home/u/litellm"),
        ("kubectl", "port-forward", "svc/litellm", "4000"),
        ("ssh", "-L", "11434:gpu:11434", "litellm"),
        ("tail", "-f", "litellm.log"),
        ("codex", "exec", "responses"),
        ("tabby",),
        ("mlflow", "server"),
        ("node", "/src/omniroute/node_modules/vite/bin/vite.js"),
        ("node", "-e", "require('litellm')"),
        ("node", "-", "ollama"),
        ("python3", "/src/kiro-gateway/.venv/bin/jupyter", "lab"),
        ("gateway",),
    ],
    ids=" ".join,
)
def test_no_proxies(argv: tuple[str, ...]) -> None:
    assert proxy(of(*argv, exe=f"/usr/bin/{argv[0]}")) == ""


class TestByDirectory:
    """What runs as `python main.py` or under a title of its own."""

    def test_a_script_of_the_checkout(self) -> None:
        found = of("python3", "main.py", exe=PY, cwd="/home/u/kiro-gateway")
        assert (proxy(found), found.program) == ("kiro-gateway", "main")

    def test_an_application_server_in_the_checkout(self) -> None:
        found = of("python3", "/v/bin/uvicorn", "server:app", exe=PY, cwd="/s/claude-code-proxy")
        assert proxy(found) == "claude-code-proxy-1rgs"

    def test_a_title_over_the_arguments(self) -> None:
        cwd = "/usr/lib/node_modules/9router/app"
        assert proxy(of("next-server (v16.3.4)", exe=NODE, cwd=cwd)) == "9router"
        assert proxy(of("next-server (v16.3.4)", exe=NODE, cwd="/home/u/shop")) == ""

    def test_a_module_that_lies_there(self, tmp_path: Path) -> None:
        home = tmp_path / "gcli2api"
        home.mkdir()
        (home / "web.py").touch()
        assert proxy(of("python3", "-m", "web", exe=PY, cwd=str(home))) == "gcli2api"

    def test_another_server_there_is_not_it(self) -> None:
        cwd = "/home/u/kiro-gateway"
        assert proxy(of("python3", "-m", "http.server", exe=PY, cwd=cwd)) == ""
        assert proxy(of("python3", "-c", "pass", exe=PY, cwd=cwd)) == ""

    def test_a_link_to_the_script(self, tmp_path: Path) -> None:
        real = tmp_path / "node_modules/@portkey-ai/gateway/build/start-server.js"
        real.parent.mkdir(parents=True)
        real.touch()
        (tmp_path / "harmless").symlink_to(real)
        found = of("node", "harmless", exe=NODE, cwd=str(tmp_path))
        assert (proxy(found), found.program) == ("portkey-gateway-oss", "harmless")


class TestByParent:
    def test_a_worker_of_a_proxy(self) -> None:
        master = Snapshot(1, argv=("python3", "/v/bin/litellm"), exe=PY)
        shell = Snapshot(2, argv=("sh", "-c", "x"), exe="/bin/sh")
        worker = ("python3", "-c", "from multiprocessing.spawn import spawn_main", "--fork")
        assert proxy(of(*worker, exe=PY, parents=(shell, master))) == "litellm"

    def test_only_the_nearest_counts(self) -> None:
        master = Snapshot(1, argv=("python3", "/v/bin/litellm"), exe=PY)
        between = Snapshot(2, argv=("make",), exe="/usr/bin/make")
        assert proxy(of("node", "vite.js", exe=NODE, parents=(between, master))) == ""

    @pytest.mark.parametrize("shell", [("-bash",), ("zsh", "-il"), ("fish",), ("sh", "-i")])
    def test_what_a_person_types_in_its_terminal_is_none(self, shell: tuple[str, ...]) -> None:
        master = Snapshot(1, argv=("python3", "/v/bin/litellm"), exe=PY)
        typed = Snapshot(2, argv=shell, exe=f"/bin/{shell[0].lstrip('-')}")
        assert proxy(of("node", "vite.js", exe=NODE, parents=(typed, master))) == ""

    def test_an_agent_below_one_is_an_agent(self) -> None:
        above = Snapshot(1, argv=("node", "/x/ccr", "code"), exe=NODE)
        found = of("claude", exe="/home/u/.local/bin/claude", parents=(above,))
        assert (proxy(found), found.sure) == ("", True)


class TestOthers:
    @pytest.mark.parametrize("argv", [("opencode", "serve"), ("codex",), ("claude",)])
    def test_agents(self, argv: tuple[str, ...]) -> None:
        found = of(*argv, exe=f"/usr/bin/{argv[0]}")
        assert "coding agent" in found.other
        assert found.sure

    @pytest.mark.parametrize("name", ["workerd", "code-server", "ControlCenter"])
    def test_programs_that_listen_for_themselves(self, name: str) -> None:
        found = of(name, exe=f"/usr/bin/{name}")
        assert found.other
        assert not found.sure

    def test_a_server_of_everything(self) -> None:
        assert "serves much else" in of("tritonserver", exe="/opt/tritonserver").other

    def test_ourselves(self) -> None:
        import guard

        main = str(Path(guard.__file__).parent / "__main__.py")
        assert of("python3", "-I", "-S", main, "verify", exe=PY).other == "routeguard itself"
        assert of("python3", "/evil/guard/__main__.py", exe=PY).other == ""

    def test_names_that_are_anybodys_count_on_their_ports(self) -> None:
        assert proxy(of("exo", exe="/usr/bin/exo", ports=(52415,))) == "exo"
        assert proxy(of("exo", exe="/usr/bin/exo", ports=(8080,))) == ""

    def test_docker_proxy(self) -> None:
        found = of(
            "/usr/bin/docker-proxy", "-proto", "tcp", "-host-port", "80", "-container-port", "4000",
            exe="/usr/bin/docker-proxy",
        )  # fmt: skip
        assert (found.forwarder, found.host_port, found.container_port) == (True, 80, 4000)

    def test_activators(self) -> None:
        assert of("/sbin/init", exe="/usr/lib/systemd/systemd").activator
        found = of(
            "systemd-socket-activate", "-l", "4000", "--setenv=A", "/v/bin/litellm",
            exe="/usr/bin/systemd-socket-activate",
        )  # fmt: skip
        assert (found.activator, proxy(found)) == (True, "litellm")
        assert proxy(of("systemd-socket-activate", "-l", "1", "litellm-x", exe="")) == ""


class TestWhatCannotBeRead:
    def test_only_the_arguments(self) -> None:
        assert proxy(of("/usr/bin/python3", "/opt/v/bin/litellm")) == "litellm"

    def test_only_the_kernels_name(self) -> None:
        assert proxy(of(comm="litellm")) == "litellm"
        assert program_of(Snapshot(1, comm="kworker/0:1")) == "kworker/0:1"

    def test_nothing(self) -> None:
        found = of()
        assert (proxy(found), found.other, found.program) == ("", "", "")

    @pytest.mark.parametrize("argv", [("",), ("", ""), ("python3", "-m"), ("node", "--"), ("-",)])
    def test_nonsense(self, argv: tuple[str, ...]) -> None:
        for exe in ("", PY, NODE, "/bin/sh", "/lib/ld-linux.so.2"):
            assert proxy(of(*argv, exe=exe)) == ""


@pytest.mark.parametrize("program", ["python3", "node"])
def test_a_program_from_standard_input_is_called_by_its_interpreter(program: str) -> None:
    found = Snapshot(1, argv=(program, "-", "sk-1"), exe=f"/usr/bin/{program}", cwd="/w")
    assert program_of(found) == program


def test_arguments_do_not_leave() -> None:
    secret = "sk-live-0123456789"
    found = of("python3", "/v/bin/litellm", "--api_key", secret, exe=PY)
    titled = of(f"litellm --api_key {secret}", exe=PY)
    for one in (found, titled):
        shown = [str(value) for value in vars(one).values()]
        assert not any(secret in text for text in shown)
    assert secret not in repr(Snapshot(1, argv=("x", secret)))


def test_a_port_stands_for_itself() -> None:
    snapshot = Snapshot(1, argv=("x4000", "--port=4000", "127.0.0.1:5000"))
    assert names_port(snapshot, 4000)
    assert names_port(snapshot, 5000)
    assert not names_port(snapshot, 400)
    assert not names_port(snapshot, 500)
