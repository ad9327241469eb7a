"""A key-value plugin on pyvider-rpcplugin, as examples/src/bin/kv_plugin.rs."""

import asyncio

import grpc
from pyvider.rpcplugin import RPCPluginProtocol, configure, plugin_server

import kv


class Handler:
    def __init__(self):
        self.values = {}

    async def get(self, request, context):
        value = self.values.get(kv.parse(request).get(1))
        if value is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such key")
        return kv.fields(value)

    async def put(self, request, context):
        request = kv.parse(request)
        self.values[request[1]] = request.get(2, b"")
        return b""


class Protocol(RPCPluginProtocol):
    service_name = kv.SERVICE

    async def get_grpc_descriptors(self):
        return None, self.service_name

    async def add_to_server(self, server, handler):
        methods = {
            "Get": grpc.unary_unary_rpc_method_handler(handler.get),
            "Put": grpc.unary_unary_rpc_method_handler(handler.put),
        }
        generic = grpc.method_handlers_generic_handler(self.service_name, methods)
        server.add_generic_rpc_handlers((generic,))

    def get_method_type(self, method_name):
        return "unary_unary"


configure(magic_cookie=kv.COOKIE_VALUE, magic_cookie_key=kv.COOKIE_KEY, protocol_version=1)


async def main():
    await plugin_server(protocol=Protocol(), handler=Handler()).serve()


asyncio.run(main())
