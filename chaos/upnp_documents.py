"""What a UPnP gateway says of itself and answers, as XML: text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SERVICE: Final = "urn:schemas-upnp-org:service:WANIPConnection:1"
DESCRIPTION: Final = f"""<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0">
<specVersion><major>1</major><minor>0</minor></specVersion>
<device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<friendlyName>lab</friendlyName><manufacturer>lab</manufacturer><modelName>lab</modelName>
<UDN>uuid:lab</UDN>
<deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType>
<friendlyName>lab</friendlyName><manufacturer>lab</manufacturer><modelName>lab</modelName>
<UDN>uuid:lab-wan</UDN>
<deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType>
<friendlyName>lab</friendlyName><manufacturer>lab</manufacturer><modelName>lab</modelName>
<UDN>uuid:lab-connection</UDN>
<serviceList><service>
<serviceType>{SERVICE}</serviceType>
<serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>
<SCPDURL>/service.xml</SCPDURL>
<controlURL>/control</controlURL>
<eventSubURL>/events</eventSubURL>
</service></serviceList>
</device></deviceList>
</device></deviceList>
</device></root>
"""
_ENVELOPE: Final = """<?xml version="1.0"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
 s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>{body}</s:Body></s:Envelope>
"""
RESPONSE: Final = _ENVELOPE.format(body='<u:{name}Response xmlns:u="{service}"></u:{name}Response>')
FAULT: Final = _ENVELOPE.format(
    body="<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
    '<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode>'
    "<errorDescription>no</errorDescription></UPnPError></detail></s:Fault>"
)
_TYPES: Final = {
    "NewExternalPort": "ui2",
    "NewInternalPort": "ui2",
    "NewEnabled": "boolean",
    "NewLeaseDuration": "ui4",
}


def service_description(actions: Mapping[str, tuple[str, ...]]) -> str:
    """The actions of the service, with their arguments."""
    names = dict.fromkeys(name for arguments in actions.values() for name in arguments)
    variables = "".join(
        f'<stateVariable sendEvents="no"><name>{name[3:]}</name>'
        f"<dataType>{_TYPES.get(name, 'string')}</dataType></stateVariable>"
        for name in names
    )
    return f"""<?xml version="1.0"?>
<scpd xmlns="urn:schemas-upnp-org:service-1-0">
<specVersion><major>1</major><minor>0</minor></specVersion>
<actionList>{"".join(_action(name, actions[name]) for name in actions)}</actionList>
<serviceStateTable>{variables}</serviceStateTable>
</scpd>
"""


def _action(name: str, arguments: tuple[str, ...]) -> str:
    listed = "".join(
        f"<argument><name>{each}</name><direction>in</direction>"
        f"<relatedStateVariable>{each[3:]}</relatedStateVariable></argument>"
        for each in arguments
    )
    return f"<action><name>{name}</name><argumentList>{listed}</argumentList></action>"
