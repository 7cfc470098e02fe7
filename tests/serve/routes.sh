#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# routes.sh URL [KEY]: every route of a running `tenon serve`, by curl: its status and a word of its answer. Exit 1 if one is wrong.
set -u
url=${1:?usage: routes.sh URL [KEY]}
key=${2:-}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
failed=0

ask() { # NAME STATUS PATTERN METHOD PATH [BODY]
    name=$1 expected=$2 pattern=$3 method=$4 path=$5
    shift 5
    if [ $# -gt 0 ]; then set -- -H "Content-Type: application/json" --data "$1"; fi
    [ -z "$key" ] || set -- -H "Authorization: Bearer $key" "$@"
    status=$(curl -sS -m 60 -o "$answer" -w '%{http_code}' -X "$method" "$@" "$url$path")
    if echo "$status" | grep -Eqx "$expected" && grep -Eq "$pattern" "$answer"; then
        echo "ok - $name"
    else
        echo "not ok - $name: $method $path gave $status, expected $expected with: $pattern"
        head -c 400 "$answer" | sed 's/^/    /'
        echo
        failed=1
    fi
}

chat='"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, "temperature": 0'
ask "the page" 200 '<title>Tenon' GET /
ask "the page's script" 200 'SPDX' GET /page/app.js
ask "health" 200 . GET /health
ask "ready" 200 ready GET /ready
ask "version" 200 '"version"' GET /version
ask "metrics" 200 '^tenon_generation_tokens_total' GET /metrics
ask "models" 200 '"object": ?"list"' GET /v1/models
model=$(sed -n 's/.*"data": *\[{"id": *"\([^"]*\)".*/\1/p' "$answer")
ask "one model" 200 "\"id\": ?\"$model\"" GET "/v1/models/$model"
ask "completion" 200 '"text_completion"' POST /v1/completions '{"prompt": "The sky is", "max_tokens": 4}'
ask "completion, streamed" 200 '^data: \[DONE\]' POST /v1/completions '{"prompt": "The sky is", "max_tokens": 4, "stream": true}'
ask "completion with echo" 200 '"token_logprobs": ?\[null' POST /v1/completions '{"prompt": "The sky is", "max_tokens": 0, "echo": true, "logprobs": 1}'
ask "chat" 200 '"chat.completion"' POST /v1/chat/completions "{$chat}"
ask "chat, streamed" 200 '"usage": ?\{"prompt_tokens"' POST /v1/chat/completions "{$chat, \"stream\": true, \"stream_options\": {\"include_usage\": true}}"
ask "embeddings" '200|501' '"embedding": ?\[|--embeddings' POST /v1/embeddings '{"input": "hello"}'
ask "embeddings in base64" '200|501' '"embedding": ?"[A-Za-z0-9+/]+=*"|--embeddings' POST /v1/embeddings '{"input": [[19556], [905]], "encoding_format": "base64", "dimensions": 8}'
ask "tokenize" 200 '"tokens": ?\[' POST /tokenize '{"prompt": "Hello world"}'
ask "tokenize a chat" 200 '"tokens": ?\[' POST /tokenize "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}"
ask "detokenize" 200 'prompt' POST /detokenize '{"tokens": [19556, 905]}'
ask "tokenizer_info" 200 'chat_template' GET /tokenizer_info
ask "apply-template" 200 'Say hello' POST /apply-template '{"messages": [{"role": "user", "content": "Say hello."}]}'
ask "no such route" 404 '"error"' GET /nothing
ask "a wrong method" 405 '"error"' GET /v1/completions
ask "no JSON" 400 '"invalid_request_error"' POST /v1/completions '{'
exit $failed
