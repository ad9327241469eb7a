"""Puts a value into a key-value plugin and gets it back: kv_host.py KEY VALUE PLUGIN [ARGUMENT..]"""

import asyncio
import os
import sys

from pyvider.rpcplugin import configure, plugin_client

import kv


async def main(key, value, *plugin):
    client = plugin_client(list(plugin))
    await client.start()
    try:
        method = f"/{kv.SERVICE}/"
        put = client.grpc_channel.unary_unary(method + "Put")
        await put(kv.fields(key.encode(), value.encode()), timeout=10)
        get = client.grpc_channel.unary_unary(method + "Get")
        answer = await get(kv.fields(key.encode()), timeout=10)
        print(kv.parse(answer)[1].decode())
    finally:
        await client.close()


configure(
    magic_cookie=kv.COOKIE_VALUE,
    magic_cookie_key=kv.COOKIE_KEY,
    protocol_version=1,
    auto_mtls=os.environ.get("AUTO_MTLS") == "yes",
)
asyncio.run(main(*sys.argv[1:]))
