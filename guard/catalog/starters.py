"""Programs that start the command in their arguments, and where in them it stands."""

from __future__ import annotations

from typing import NamedTuple


class Wrapper(NamedTuple):
    """A program that starts the command in its arguments.

    `short` are the letters and `long` the names of options that take the next word, `skip` is how
    many words it wants for itself, `assigns` that `NAME=value` may stand before the command, and
    `text` that the words are one text for a shell.
    """

    short: str = ""
    long: frozenset[str] = frozenset()
    skip: int = 0
    assigns: bool = False
    text: bool = False


def listed(text: str) -> frozenset[str]:
    """The names in `text`."""
    return frozenset(text.split())


# options from the programs' manual pages: sudo 1.9, GNU coreutils 9, findutils 4.9,
# util-linux 2.39, GNU parallel 2023; the others' own help
_SHORT = {
    "n": "nice",
    "cn": "ionice",
    "uDg": "run0",
    "SGRw": "unshare",
    "tSGW": "nsenter",
    "CmNip": "numactl",
    "tip": "systemd-cat",
    "T": "kitty foot",
    "pn": "minikube",
    "": "command builtin nohup setsid chronic unbuffer noglob nocorrect pkexec setpriv firejail "
    "prlimit rlwrap winpty ltrace valgrind corepack systemd-inhibit dbus-run-session flatpak-spawn "
    "torsocks proxychains proxychains4 tini dumb-init ddtrace-run opentelemetry-instrument tsp nq "
    "daemonize k3s microk8s entr catchsegv",
}
_LONG = (
    "--adjustment --class --classdata --reuid --regid --user --group --setenv --chdir --directory "
    "--cpunodebind --membind --what --who --why --title --identifier --priority"
)
WRAPPERS = {
    "sudo": Wrapper(
        "CDghpRrTtuU",
        listed("--close-from --chdir --group --host --prompt --chroot --role --type --user"),
        assigns=True,
    ),
    "doas": Wrapper("Cu", assigns=True),
    "env": Wrapper("uCSLPa", listed("--unset --chdir --split-string --argv0"), assigns=True),
    "cross-env": Wrapper(assigns=True),
    "cross-env-shell": Wrapper(assigns=True, text=True),
    "time": Wrapper("fo", listed("--format --output")),
    "gtime": Wrapper("fo", listed("--format --output")),
    "exec": Wrapper("a"),
    "stdbuf": Wrapper("ioe", listed("--input --output --error")),
    "timeout": Wrapper("ks", listed("--kill-after --signal"), skip=1),
    "gtimeout": Wrapper("ks", listed("--kill-after --signal"), skip=1),
    "cmd.exe": Wrapper(skip=1, text=True),
    "powershell.exe": Wrapper(text=True),
    "pwsh": Wrapper(text=True),
    "powershell": Wrapper(text=True),
    "cmd": Wrapper(skip=1, text=True),
    "Start-Process": Wrapper(text=True),
    "saps": Wrapper(text=True),
    "Invoke-Expression": Wrapper(text=True),
    "iex": Wrapper(text=True),
    "wsl": Wrapper("du", listed("--distribution --user --cd")),
    "wsl.exe": Wrapper("du", listed("--distribution --user --cd")),
    "chroot": Wrapper("", listed("--userspec --groups"), skip=1),
    "taskset": Wrapper("p", skip=1),
    "gosu": Wrapper(skip=1),
    "su-exec": Wrapper(skip=1),
    "setuidgid": Wrapper(skip=1),
    "envdir": Wrapper(skip=1),
    "envchain": Wrapper(skip=1),
    "faketime": Wrapper("f", skip=1),
    "cgexec": Wrapper("g"),
    "cpulimit": Wrapper("lpe", listed("--limit --pid --exe")),
    "arch": Wrapper("deh"),  # of macOS; -arch NAME ends in a letter that takes a value
    "dtach": Wrapper("nAcNr"),
    "abduco": Wrapper("ncAer"),
    "sshpass": Wrapper("fdpPe"),
    "systemd-socket-activate": Wrapper("lEd", listed("--listen --setenv --fdname")),
    "hyperfine": Wrapper("wrmMpcPSL", text=True),
    "chrt": Wrapper("TPD", skip=1),
    "watchexec": Wrapper("wefisx", listed("--watch --exts --filter --ignore --signal")),
    "caffeinate": Wrapper("tw"),
    "xvfb-run": Wrapper("enpsfw", listed("--server-num --server-args --auth-file --wait")),
    "xargs": Wrapper(
        "IEdLnPsa",
        listed("--delimiter --arg-file --max-args --max-procs --max-lines --replace --max-chars"),
    ),
    "parallel": Wrapper(
        "aCdEIjJLlNnPsS",
        listed(
            "--arg-file --colsep --delay --delimiter --joblog --jobs --load --max-args --max-lines "
            "--max-procs --max-replace-args --memfree --nice --replacement --results --retries "
            "--sshlogin --tagstring --timeout --tmpdir --workdir"
        ),
        text=True,
    ),
    "watch": Wrapper("n", listed("--interval"), text=True),
    "strace": Wrapper("eopsuPEI"),
    "systemd-run": Wrapper(
        "pMuHEGt", listed("--unit --property --setenv --description --slice --uid --gid --machine")
    ),
    "screen": Wrapper("SctTehps"),
    "start-stop-daemon": Wrapper("acdgknNprsuxRPC"),
    "concurrently": Wrapper(
        "nplckms",
        listed("--names --prefix --prefix-colors --kill-others --max-processes --success"),
    ),
}
for _letters, _programs in _SHORT.items():
    WRAPPERS.update((name, Wrapper(_letters, listed(_LONG))) for name in _programs.split())

# programs that start what stands behind a `--` in their arguments
BEHIND_DASHES = listed(
    "op doppler infisical dotenv dotenvx direnv mise rtx chamber aws-vault kubectl oc devbox "
    "uv poetry pipenv hatch teller vault bws secrethub summon envconsul npm pnpm yarn bun nix "
    "flox devenv pixi conda mamba start-stop-daemon nono zellij gnome-terminal wezterm perf py-spy "
    "toolbox distrobox distrobox-enter lxc incus pueue guix"
)

# programs that start the command behind these words, without a `--`
BEHIND_WORDS = {
    "uv": ("run",),
    "poetry": ("run",),
    "pipenv": ("run",),
    "hatch": ("run",),
    "pixi": ("run",),
    "bundle": ("exec",),
    "asdf": ("exec",),
    "volta": ("run",),
    "conda": ("run",),
    "mamba": ("run",),
    "micromamba": ("run",),
    "pdm": ("run",),
    "rye": ("run",),
    "pyenv": ("exec",),
    "rbenv": ("exec",),
    "fnm": ("exec",),
    "snap": ("run",),
    "toolbox": ("run",),
    "honcho": ("run",),
    "foreman": ("run",),
    "dotenv": ("run",),
    "direnv": ("exec",),
    "heroku": ("local:run",),
    "apptainer": ("exec",),
    "singularity": ("exec",),
    "perf": ("record", "stat", "trace"),
    "pm2": ("start",),
    "forever": ("start",),
}
SKIPPED = {"direnv": 1, "apptainer": 1, "singularity": 1}

# programs with an option whose value, or what follows it, is a command
BEHIND_OPTION = {
    "emulate": ("c", ""),
    "su": ("c", "--command --session-command"),
    "runuser": ("c", "--command --session-command"),
    "sg": ("c", ""),
    "script": ("c", "--command"),
    "flock": ("c", "--command"),
    "nix-shell": ("", "--run --command"),
    "nix": ("c", "--command"),
    "nodemon": ("x", "--exec"),
    "start-stop-daemon": ("xa", "--exec --startas"),
    "mise": ("c", "--command"),
    "rtx": ("c", "--command"),
    "fd": ("xX", "--exec --exec-batch"),
    "xterm": ("e", ""),
    "urxvt": ("e", ""),
    "st": ("e", ""),
    "konsole": ("e", ""),
    "alacritty": ("e", "--command"),
    "xfce4-terminal": ("ex", "--command --execute"),
    "gnome-terminal": ("x", "--command"),
    "x-terminal-emulator": ("e", ""),
}

SSH = Wrapper("BbcDEeFIiJLlmOopPQRSWw")

RUN_OPTIONS = listed(
    "--package --with --python --env-file --group --extra --directory --project --name --prefix "
    "--cwd --using --index-url --with-requirements --file"
)

# programs that print what they are given, or the path of the program of that name
PRINTS = listed("which whence where type realpath readlink echo print printf")

# docker and podman: options of `run` and `exec` that take a value (docker CLI reference)
DOCKER_SHORT = "eplvwuhmac"
DOCKER_LONG = listed(
    "--name --env --env-file --publish --expose --volume --mount --network --net --restart --user "
    "--workdir --entrypoint --platform --gpus --memory --cpus --label --hostname --add-host "
    "--shm-size --ulimit --device --cap-add --cap-drop --dns --ip --ipc --pid --pull --runtime "
    "--security-opt --tmpfs --log-driver --log-opt --health-cmd --stop-signal --file "
    "--project-name --profile --project-directory --index --cidfile --link --group-add"
)
TMUX_SHORT = "cnstxyeFlbTf"
TMUX_STARTS = listed(
    "new new-session neww new-window splitw split-window respawn-pane respawn-window "
    "display-popup popup"
)
