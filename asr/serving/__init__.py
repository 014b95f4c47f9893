"""`asr serve`: recognition over the network, by protocols that existing clients speak.

| module | for |
|---|---|
| `server` | the socket, the pool of recognisers, the start and the orderly end of the process |
| `service` | what all requests share |
| `app` | the table of routes, and what holds for all of them: keys, origins, errors, the log |
| `openai_api` | `/v1/audio/transcriptions` and `/v1/models`, as OpenAI has them |
| `realtime`, `realtime_session` | OpenAI's Realtime API for live transcription, and the settings of its sessions |
| `vosk`, `wyoming` | the protocols of vosk-server and of Home Assistant for live streams |
| `live_streams` | what they share: sessions of the pool, with limits and counters |
| `web_sockets`, `messages` | WebSockets, and JSON messages whose fields are checked |
| `openai_answers` | transcripts in the response formats of OpenAI |
| `prompt_words` | the names in a prompt, which become hot words |
| `live_socket` | `ws /v1/live`: raw samples in, the events of `asr listen` out |
| `web_page` | the page at `/`; its files are in the folder `page` |
| `corrections`, `realignment`, `corrections_api` | corrected recordings: saved, aligned, `/v1/corrections` |
| `uploads` | forms whose files go to the disk while they arrive |
| `limits` | API keys, and how many requests may be open |
| `stopping` | what ends a request early: its client, or the end of the server |
| `refusals` | errors in the shape of OpenAI |
| `counters` | the metrics for Prometheus |
| `api_document`, `api_page` | the OpenAPI document, and the page that shows it |

A protocol is a module with a list of routes, which `app` adds to its table. Keys and origins are checked before its
handlers are called, for WebSockets too. A handler finds the `Service` with `service_of` and the owner of the key with
`caller_of`, counts its request with `service.open_requests`, and ends when `service.stop` does.
"""
