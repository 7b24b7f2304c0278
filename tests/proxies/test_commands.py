"""Every door through which a proxy comes to this machine, and everyday lines beside each."""

from __future__ import annotations

import pytest

from guard.catalog import local_proxies
from guard.proxies.commands import FORWARDS, ROUTES, STARTS
from guard.proxies.starts import read, starts

DOORS = {
    ROUTES: """
ollama
ollama launch opencode
lite up
lite --base-url http://x:1 claude
docker model launch opencode
""",
    STARTS: """
lite autoroute up
"lite" autoroute start
bifrost
bifrost -port 1
nono proxy --port 9
docker model run ai/x
docker --context d model run x
docker compose up litellm
docker compose up -d db litellm
docker compose --profile ollama up
docker-compose -f x.yml up -d litellm
podman compose up litellm
podman-compose up litellm
docker start litellm
docker run registry.corp/mirror/litellm:main
systemctl --user start litellm
sudo systemctl restart ollama.service
systemctl enable --now ollama
service ollama start
/etc/init.d/ollama start
brew services start ollama
launchctl kickstart -k gui/501/com.ollama.ollama
launchctl load ~/Library/LaunchAgents/homebrew.mxcl.ollama.plist
snap start ollama
snap run ollama serve
supervisorctl start litellm
pm2 start "litellm --port 4000"
open -a "LM Studio"
open /Applications/Ollama.app
env -S "litellm --x"
env -iS'A=1 litellm'
env --split-string="litellm --port 1"
env -u X -C / -S 'litellm'
env - A=1 litellm
echo serve | xargs ollama
echo 'litellm --x' | xargs -n 1 -I{} sh -c {}
xargs sh -c 'exec "$@"' _ litellm
sh -c '"$0" --x' litellm
set -- x litellm; $2
$(which litellm) --port 1
sudo "$(command -v litellm)"
P=`type -P litellm`; nohup $P
bash -c "$(echo litellm)"
ssh me@localhost litellm
ssh ssh://127.0.0.1:22 'nohup litellm &'
trap litellm EXIT
alias l=litellm; l
source /dev/stdin <<< litellm
python -m cProfile -m litellm
ollama.exe serve
cmd.exe /c ollama serve
npx -y -p @portkey-ai/gateway gateway
npx -p @portkey-ai/gateway -c gateway
pm2 start npx -- @portkey-ai/gateway
docker compose -p litellm up
docker stack deploy -c litellm.yml x
docker service create --name x ollama/ollama
podman kube play litellm.yaml
open -ga Ollama
nohup setsid -f timeout 5 litellm &
sudo -iu me litellm
uvx --from 'litellm[proxy]' litellm
pipx run --spec 'litellm[proxy]' litellm
uv tool run litellm
uv run -m litellm
npx -y @portkey-ai/gateway
corepack pnpm dlx @portkey-ai/gateway
deno run -A npm:@portkey-ai/gateway
python3.13t -um litellm
python .venv/bin/litellm
node --env-file .env node_modules/@portkey-ai/gateway/build/start-server.js
conda run -n x litellm
mise x python@3 -- litellm
poetry run litellm
direnv exec . litellm
nix run nixpkgs#ollama -- serve
go run github.com/maximhq/bifrost/transports/bifrost-http@latest
tmux new -d \\; send-keys 'litellm' Enter
tmux send-keys -t x litellm Enter
screen -dmS x litellm
screen -S x -X stuff 'litellm'
watch litellm
script -qc litellm /dev/null
script -q /dev/null litellm
su - me -c 'litellm --x'
runuser -u me -- litellm
busybox sh -c litellm
bash <<< litellm
echo litellm | sh
echo litellm | at now
source <(litellm)
P=litellm; $P
coproc litellm
flock /tmp/x litellm
xterm -e litellm
gnome-terminal -- litellm
systemd-run --user litellm
parallel ::: litellm
start-stop-daemon --start --exec /usr/bin/litellm -- --port 1
""",
    FORWARDS: """
ssh -L 4000:localhost:4000 h
ssh -L4000:l:4000 h
ssh -fNL 4000:l:443 h
ssh -NfL127.0.0.1:4000:l:80 h
ssh h -N -L 4000:l:4000
ssh -L '[::1]:4000:[::1]:4000' h
ssh -o LocalForward=4000:l:4000 h
ssh -o "localforward 4000 l:4000" h
ssh -oLocalForward="4000 l:4000" h
ssh -L 8000:litellm.corp:443 h
ssh -L 1234:localhost:1234 gpu
ssh -N -L 11434:localhost:11434 gpu
ssh -N ollama-box
autossh -M 0 -f -N -L 4000:l:4000 h
sshpass -p x ssh -L 4000:l:4000 h
kubectl port-forward svc/litellm 4000:4000
kubectl -n x port-forward deploy/litellm 8080:80
kubectl port-forward --namespace ai pod/x 11434
minikube kubectl -- port-forward svc/litellm 4000
socat TCP-LISTEN:4000,fork TCP:h:4000
socat tcp4-l:11434,reuseaddr,fork openssl:h:443
cloudflared access tcp --hostname litellm.example.com --url localhost:4000
gcloud compute start-iap-tunnel vm 4000 --local-host-port=localhost:4000
gcloud compute ssh vm --zone z -- -N -L 4000:localhost:4000
gcloud compute ssh vm --ssh-flag="-L 4000:localhost:4000"
gh codespace ports forward 4000:4000
fly proxy 4000 -a x
""",
}

EVERYDAY = """
docker compose up
docker compose up -d db
docker compose up litellm-db
docker compose down litellm
docker compose logs litellm
docker compose run --rm db psql -h litellm
docker model ls
docker build -t my-model .
docker stop litellm
docker pull ollama/ollama
ssh host
ssh litellm-host
ssh -L 5432:localhost:5432 h
ssh -L 4000:localhost:5432 h
ssh -L 8080:localhost:8080 h
ssh -L 3000:localhost:3000 dev
ssh -L 1234:localhost:8080 h
ssh -p 4000 host
ssh -R 4000:localhost:4000 h
ssh -D 4000 h
ssh host curl -L http://localhost:4000
ssh host litellm
ssh -N -L 5432:node-11434:5432 h
kubectl port-forward svc/db 5432
kubectl port-forward svc/grafana 3000:80
kubectl -n litellm port-forward svc/postgres 5432
kubectl port-forward svc/litellm-db 5432:5432
kubectl logs deploy/litellm
kubectl exec -it deploy/litellm -- litellm
git commit -m "litellm"
grep -r ollama .
vim litellm.py
pip install litellm
brew install ollama
brew services stop ollama
systemctl status ollama
systemctl --user disable --now litellm
systemctl -H server start litellm
journalctl -u ollama
launchctl unload ~/Library/LaunchAgents/homebrew.mxcl.ollama.plist
ollama list
ollama launch claude --restore
ollama --version
lite login
sqlite3 x.db
bifrost status
nono run -- opencode
alias l=litellm
curl localhost:4000/health
pytest tests/test_litellm.py
pkill litellm
sleep 4000
open litellm.md
open https://docs.litellm.ai
socat - TCP:h:4000
nc -l 4000
cloudflared tunnel --url localhost:4000
gcloud compute ssh litellm-vm
gcloud compute ssh vm --command "curl -L http://localhost:4000"
screen -S litellm
tmux new -s litellm
tmux attach -t litellm
script litellm.log
type litellm
echo $(which litellm)
env -u litellm true
set -- litellm
sh -c 'echo "$@"' x litellm
npx -p x -c 'echo @portkey-ai/gateway'
uvx --with litellm ipython
pm2 stop litellm
ssh litellm 'litellm'
watch -n 1 'ps aux | grep litellm'
conda run -n litellm python x.py
sudo -u litellm ls
supervisorctl status litellm
case litellm in litellm) true;; esac
[[ $x == litellm ]] && echo y
arr=(litellm ollama)
find . -name litellm -exec rm {} ;
"""

ZSH = """
repeat 3 litellm
repeat $((1 + 1)) do litellm; done
=litellm
sudo =litellm
=ollama serve
- litellm
nocorrect - litellm
if [[ ]] { litellm }
if [[ -n x ]] { true } else { litellm }
if (( 1 )) litellm
while (( 1 )) { litellm }
until false { litellm }
for ((;;)) litellm
for ((i = 0; i < 1; i++)) { litellm }
for x (a b) litellm
for x y in a b; litellm
foreach x (a b); litellm; end
select x (a b) { litellm }
case x { (x|y) litellm ;; }
function { litellm }
function f g { litellm }
f() litellm
() { litellm } x
{ true } always { litellm }
{litellm}
[[ x ]] && { litellm }
coproc { litellm }
noglob litellm &|
emulate -R sh -c litellm
sched +1 litellm
"""

FISH = """
begin; litellm; end
function f; litellm; end
if true; litellm; end
while true; litellm; end
for x in 1; litellm; end
switch x; case x; litellm; end
true; and litellm
not litellm
A=1 litellm
set p litellm; $p
echo litellm | source
alias l litellm; l
eval litellm
fish -c litellm
"""

REFUSED = [(how, line) for how, lines in DOORS.items() for line in lines.strip().splitlines()]


@pytest.mark.parametrize(("how", "line"), REFUSED)
def test_a_door(how: str, line: str) -> None:
    found = starts(read(line, "bash", {}))
    assert found
    assert how in {start.how for start in found}
    assert all(start.deed.startswith(("starts ", "sends ", "brings ")) for start in found)
    # and the hook asks about it
    programs, images, _ = local_proxies.needles()
    lower = f"{line} ".lower()
    engines = ("docker", "podman", "nerdctl", "finch", "container")
    container = any(word in lower for word in engines)
    assert any(n in lower for n in programs) or (container and any(n in lower for n in images))


@pytest.mark.parametrize("line", ZSH.strip().splitlines())
def test_words_of_zsh_around_it(line: str) -> None:
    assert starts(read(line, "zsh", {}))


@pytest.mark.parametrize("line", FISH.strip().splitlines())
def test_words_of_fish_around_it(line: str) -> None:
    assert starts(read(line, "fish", {}))


@pytest.mark.parametrize("line", EVERYDAY.strip().splitlines())
def test_an_everyday_line(line: str) -> None:
    assert starts(read(line, "bash", {})) == []
