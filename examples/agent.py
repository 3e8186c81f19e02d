"""An agent that knows no secret: it calls the API as if it had one."""

import json
import os
import sys
import urllib.error
import urllib.request

url = sys.argv[1]
method = sys.argv[2] if len(sys.argv) > 2 else "GET"
request = urllib.request.Request(url, method=method, headers={"Authorization": "Bearer " + os.environ.get("DEMO_TOKEN", "nothing")})
try:
    with urllib.request.urlopen(request) as answer:
        print("python:", answer.status, json.loads(answer.read()))
except urllib.error.HTTPError as error:
    problem = json.loads(error.read())
    print("python:", error.code, problem.get("code"), "-", problem.get("hint"))
    sys.exit(1)
