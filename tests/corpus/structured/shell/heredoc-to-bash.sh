bash <<'EOF'
cd /srv
opencode run inside
EOF
cat <<EOF | sh -e
opencode attach http://build:4096
EOF
