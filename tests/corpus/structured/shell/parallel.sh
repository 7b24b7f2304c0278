ls *.md | parallel -j 4 opencode run -m openai/gpt-5 "fix {}"
parallel --jobs 2 "opencode run -m groq/llama {}" ::: a b
parallel echo "opencode run -m groq/llama" ::: a
