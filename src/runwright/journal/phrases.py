"""What event bodies have in common: the dictionary that they are compressed with.

It is part of the stored shape: a body can be read with the dictionary it was written with and with no other.
"""

from __future__ import annotations

from typing import Final

from runwright.core.deflate import Deflate

_DICTIONARY: Final = (
    b'{"type":"replay.diverged","detail":"","taped":,"difference":"{"type":"run.tainted","reason":"'
    b'{"type":"memory.written","owner":"agent:","owner":"thread:","name":"","action":"set","append","delete","value":'
    b'{"type":"custom.emitted","name":"","value":{"type":"progress.reported","message":"","fraction":0.'
    b'{"type":"step.resolved","action":"retry","by":"","note":"{"type":"step.restarted","attempt":2,"cause":"crash"}'
    b'{"type":"run.resumed","cause":"crash","epoch":2,"code_changed":["{"type":"run.waiting","reason":"unknown_effect","detail":"'
    b'{"type":"run.cancelled","reason":"{"type":"output.rejected","reason":"{"type":"tool.rejected","call_id":"call_'
    b'","name":"","reason":"{"type":"run.failed","error":{"type":"step.failed","error":{"code":"tool_error","message":"'
    b'","retryable":true,"step":},"is_unknown":true'
    b'"tools":[{"type":"function","function":{"name":"","description":"","parameters":{"additionalProperties":false,'
    b'"properties":{"query":{"type":"string","description":""},"limit":{"default":10,"type":"integer"},"":'
    b'{"type":"number"},"items":{"type":"array"},"enum":["":{"type":"boolean"},"anyOf":[{"type":"null"}]'
    b'},"required":[""],"type":"object"}}}]}"title":""'
    b'[[0,0,null,{"type":"run.queued","agent":"","version":"1.0.0","input":{"messages":[{"role":"user","content":""'
    b',"config":{"model":"","instructions":"","temperature":0.,"replay":{"of":"run_01","at":,"live":["model"],"results":{'
    b'"memory":}],[1,0,null,{"type":"run.started","loop":1,"thread_head":"run_01"}],[2,0,3,'
    b'}],[1,0,2,{"type":"step.completed","result":,"taped":,"is_drifted":true"nth":1,"effect":"idempotent","effect":"once"'
    b'{"type":"step.started","kind":"tool","name":"","key":"","call_id":"call_","request":{"query":"","id":""'
    b'[[0,0,3,{"type":"message.completed","message":{"role":"assistant","content":"","tool_calls":[{"type":"function","id":"call_'
    b'","function":{"name":"","arguments":"{\\"query\\":\\"\\"}"}}]}},"reasoning":"'
    b'{"type":"step.started","kind":"model","name":"openai:gpt-mistral:anthropic:claude-local:","key":"","request":'
    b'{"model":"","settings":{"temperature":0.,"max_tokens":"settings":{}},"base":3,"messages":'
    b'[{"role":"system","content":},{"role":"user","content":},{"role":"assistant","content":},'
    b'{"role":"tool","tool_call_id":"call_","content":}],"tools":null}'
    b'}],[2,0,null,{"type":"run.completed","output":"","finish_reason":"length"'
    b'}}],[1,0,3,{"type":"step.completed","model":"gpt-","provider":"openai","finish_reason":"tool_calls","finish_reason":"stop",'
    b'"response_id":"chatcmpl-","usage":{"input_tokens":,"output_tokens":,"cached_input_tokens":0,'
    b'"cache_write_tokens":0,"reasoning_tokens":0,"requests":1,"tool_calls":0,"is_estimated":false},'
    b'"cost":{"nano_usd":0,"source":"none"},"cost":{"nano_usd":null,"source":"unpriced"},"cost":{"nano_usd":'
    b',"source":"list","version":"genai-prices 0.","lines":[{"unit":"cached_input_tokens","quantity":'
    b'{"unit":"input_tokens","quantity":,"unit_price_nano":00000000,"amount_nano":000},'
    b'{"unit":"output_tokens","quantity":,"unit_price_nano":00000000,"amount_nano":000}]}}'
)

PHRASES: Final = Deflate(_DICTIONARY)
"""Packs the JSON of an event."""
