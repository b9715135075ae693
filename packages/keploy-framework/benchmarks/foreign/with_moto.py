"""moto: a WSGI application that is AWS; object storage, a table, a queue and an identity."""

from __future__ import annotations

import json
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .application import Foreign, Made

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

__all__ = ("APP",)


def _make(folder: Path) -> Made:
    del folder
    server: Any = import_module("moto.moto_server.werkzeug_app")
    backends: Any = import_module("moto.backends")
    app: Any = server.DomainDispatcherApplication(server.create_backend_app)

    def reset() -> None:
        for service in ("s3", "dynamodb", "sqs", "sts"):
            backends.get_backend(service).reset()

    return Made(app, reset)


def _signed(service: str) -> dict[str, str]:
    scope = f"AKIAIOSFODNN7EXAMPLE/20261121/us-east-1/{service}/aws4_request"
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"
    }


def _storage(client: httpx.Client) -> None:
    said = _signed("s3")
    client.get("/", headers=said)
    client.put("/shelf", headers=said)
    client.put("/shelf", headers=said)
    client.get("/nowhere", headers=said)
    for number in range(4):
        client.put(f"/shelf/books/{number}.txt", headers=said, content=b"book %d" % number)
    client.put("/shelf/raw", headers={**said, "x-amz-meta-kind": "odd"}, content=bytes(range(256)))
    client.get("/shelf", params={"list-type": "2", "prefix": "books/"}, headers=said)
    client.get("/shelf/books/1.txt", headers=said)
    client.get("/shelf/raw", headers={**said, "Range": "bytes=10-19"})
    client.head("/shelf/raw", headers=said)
    client.head("/shelf/none", headers=said)
    client.get("/shelf/none", headers=said)
    client.put("/shelf/copy", headers={**said, "x-amz-copy-source": "/shelf/raw"})
    begun = client.post("/shelf/parts?uploads", headers=said).text
    found = re.search("<UploadId>(.*?)</UploadId>", begun)
    upload = found[1] if found else ""
    part = client.put(
        "/shelf/parts",
        params={"partNumber": 1, "uploadId": upload},
        headers=said,
        content=b"x" * 300_000,
    )
    tag = part.headers.get("etag", "")
    listed = f"<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>"
    client.post(
        "/shelf/parts",
        params={"uploadId": upload},
        headers=said,
        content=f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>",
    )
    client.put(
        "/shelf/raw?tagging",
        headers=said,
        content="<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    )
    client.get("/shelf/raw?tagging", headers=said)
    client.delete("/shelf/books/0.txt", headers=said)
    client.delete("/shelf", headers=said)
    client.get("/shelf", headers=said)


def _table(client: httpx.Client) -> None:
    def call(name: str, body: dict[str, Any]) -> httpx.Response:
        return client.post(
            "/",
            headers={
                **_signed("dynamodb"),
                "X-Amz-Target": f"DynamoDB_20120810.{name}",
                "Content-Type": "application/x-amz-json-1.0",
            },
            content=json.dumps(body),
        )

    table: dict[str, Any] = {"TableName": "people"}
    call(
        "CreateTable",
        {
            **table,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    for number, name in enumerate(("Ada", "Grace", "Edsger")):
        call("PutItem", {**table, "Item": {"id": {"S": str(number)}, "name": {"S": name}}})
    call("GetItem", {**table, "Key": {"id": {"S": "1"}}})
    call(
        "UpdateItem",
        {
            **table,
            "Key": {"id": {"S": "1"}},
            "UpdateExpression": "SET born = :b",
            "ExpressionAttributeValues": {":b": {"N": "1906"}},
            "ReturnValues": "ALL_NEW",
        },
    )
    call("Scan", table)
    call("PutItem", {**table, "Item": {"name": {"S": "no key"}}})
    call("DeleteItem", {**table, "Key": {"id": {"S": "0"}}, "ReturnValues": "ALL_OLD"})
    call("GetItem", {"TableName": "none", "Key": {"id": {"S": "1"}}})
    call("DescribeTable", table)
    call("ListTables", {})


def _queue(client: httpx.Client) -> None:
    def call(name: str, body: dict[str, Any]) -> Any:
        return client.post(
            "/",
            headers={
                **_signed("sqs"),
                "X-Amz-Target": f"AmazonSQS.{name}",
                "Content-Type": "application/x-amz-json-1.0",
            },
            content=json.dumps(body),
        ).json()

    url = call("CreateQueue", {"QueueName": "work"})["QueueUrl"]
    call("SendMessage", {"QueueUrl": url, "MessageBody": "first"})
    call("SendMessage", {"QueueUrl": url, "MessageBody": "second"})
    taken = call("ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 1})
    handle = taken["Messages"][0]["ReceiptHandle"]
    call("DeleteMessage", {"QueueUrl": url, "ReceiptHandle": handle})
    call("GetQueueUrl", {"QueueName": "work"})
    call("GetQueueUrl", {"QueueName": "none"})
    call("ListQueues", {})
    call("PurgeQueue", {"QueueUrl": url})


def _session(client: httpx.Client) -> None:
    _storage(client)
    _table(client)
    _queue(client)
    client.post(
        "/",
        headers=_signed("sts"),
        data={"Action": "GetCallerIdentity", "Version": "2011-06-15"},
    )


APP = Foreign(name="moto", kind="wsgi", make=_make, session=_session, allow=("authorization",))
