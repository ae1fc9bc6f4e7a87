"""A gRPC client that knows nothing of Sluice: it asks the server for its schema, as grpcurl does."""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_STRING, _BYTES, _MESSAGE = (descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{name}")
                             for name in ("STRING", "BYTES", "MESSAGE"))

# What is needed of grpc/reflection/v1alpha/reflection.proto: {message: [(field, number, type, repeated)]}.
_REFLECTION = {
    "Request": [("file_containing_symbol", 4, _STRING, False), ("list_services", 7, _STRING, False)],
    "Response": [("file_descriptor_response", 4, "Files", False), ("list_services_response", 6, "Services", False)],
    "Files": [("file_descriptor_proto", 1, _BYTES, True)],
    "Services": [("service", 1, "Service", True)],
    "Service": [("name", 1, _STRING, False)],
}


def _reflection_messages():
    file = descriptor_pb2.FileDescriptorProto(name="reflection", package="lab", syntax="proto3")
    for name, fields in _REFLECTION.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if isinstance(kind, str):
                added.type, added.type_name = _MESSAGE, f".lab.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [_message_class(pool.FindMessageTypeByName(f"lab.{name}")) for name in ("Request", "Response")]


def _message_class(descriptor):
    return message_factory.MessageFactory().GetPrototype(descriptor)


def _as_dictionary(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True, including_default_value_fields=True)


class ApiClient:
    """Calls by name, with dictionaries: client.call("Get"), client.call("UpdateBackend", pool="web", ...)."""

    def __init__(self, target, service="sluice.v1.LoadBalancer"):
        # A connection of its own: clients of one process share one otherwise.
        self._channel = grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        self._request, self._response = _reflection_messages()
        self._pool = descriptor_pool.DescriptorPool()
        found = self._ask(file_containing_symbol=service).file_descriptor_response.file_descriptor_proto
        files = [descriptor_pb2.FileDescriptorProto.FromString(content) for content in found]
        self._add(files[0], {file.name: file for file in files}, set())
        self._service = self._pool.FindServiceByName(service)

    def _add(self, file, files, added):
        """The pool wants a file after those that it imports."""
        added.add(file.name)
        for name in file.dependency:
            if name not in added:
                self._add(files[name], files, added)
        self._pool.Add(file)

    def _ask(self, **question):
        call = self._channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=self._request.SerializeToString, response_deserializer=self._response.FromString)
        # Without an empty string told from none, list_services needs some text.
        return next(call(iter([self._request(**question)]), timeout=10))

    def services(self):
        """Names of all services that the server has."""
        return [service.name for service in self._ask(list_services="*").list_services_response.service]

    def call(self, name, timeout=20, **fields):
        """The reply as a dictionary; grpc.RpcError otherwise."""
        method, request = self._method(name, fields, self._channel.unary_unary)
        return _as_dictionary(method(request, timeout=timeout))

    def start(self, name, timeout=20, **fields):
        """The call under way, as gRPC has it: its result() is a message."""
        method, request = self._method(name, fields, self._channel.unary_unary)
        return method.future(request, timeout=timeout)

    def stream(self, name, **fields):
        """The call under way, and the messages of its stream as dictionaries."""
        method, request = self._method(name, fields, self._channel.unary_stream)
        call = method(request)
        return call, map(_as_dictionary, call)

    def _method(self, name, fields, kind):
        method = self._service.methods_by_name[name]
        call = kind(f"/{self._service.full_name}/{name}",
                    request_serializer=_message_class(method.input_type).SerializeToString,
                    response_deserializer=_message_class(method.output_type).FromString)
        return call, json_format.ParseDict(fields, _message_class(method.input_type)())

    def call_raw(self, path, request, timeout=20):
        """Bytes for bytes, where there is no schema to be had."""
        return self._channel.unary_unary(path)(request, timeout=timeout)

    def close(self):
        self._channel.close()
