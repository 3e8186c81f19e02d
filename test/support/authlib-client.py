"""What somebody writes who follows the manual of Authlib; the sign-in itself is done in a browser elsewhere."""

import json
import sys

import requests
from authlib.integrations.requests_client import OAuth2Session

issuer, client_id, client_secret, callback, scope, resource = sys.argv[1:]
server = requests.get(issuer + "/.well-known/oauth-authorization-server").json()
client = OAuth2Session(client_id, client_secret, scope=scope, redirect_uri=callback, code_challenge_method="S256")
verifier = "a-verifier-of-more-than-forty-three-characters-000"
url, state = client.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier)
print(url, flush=True)

tokens = client.fetch_token(
    server["token_endpoint"], authorization_response=sys.stdin.readline().strip(), state=state, code_verifier=verifier
)
person = client.get(server["userinfo_endpoint"]).json()
refreshed = client.refresh_token(server["token_endpoint"], refresh_token=tokens["refresh_token"])
active = client.introspect_token(server["introspection_endpoint"], token=refreshed["access_token"]).json()
revoked = client.revoke_token(server["revocation_endpoint"], token=refreshed["refresh_token"]).status_code
ended = client.introspect_token(server["introspection_endpoint"], token=refreshed["access_token"]).json()
service = OAuth2Session(client_id, client_secret, scope="things:read")
own = service.fetch_token(server["token_endpoint"], grant_type="client_credentials", resource=resource)
print(
    json.dumps(
        {
            "email": person["email"],
            "rotated": refreshed["refresh_token"] != tokens["refresh_token"],
            "active": active["active"],
            "revoked": revoked,
            "ended": ended,
            "own": own["scope"],
        }
    )
)
