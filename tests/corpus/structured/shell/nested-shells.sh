bash -c 'cd app && opencode run hi'
sudo -u ci env A=1 nohup opencode serve --port 4096 &
find . -name '*.py' | xargs -n1 -I{} opencode run -m openai/gpt-4o {}
npx -y opencode-ai@latest run hello
