export DATADOG_API_KEY=$(cat dd)
export STRIPE_API_KEY=x
export GITHUB_TOKEN=$(gh auth token)
export AWS_REGION=eu-west-1
export NODE_OPTIONS=--max-old-space-size=4096
export OPENCODE_DISABLE_AUTOUPDATE=1
