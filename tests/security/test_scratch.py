import time, collections
import pytest
from tests.security.world import *
from tests.staff.signed_in import sign_in_as
from tests.staff.conftest import fast_hashes
import dashboard.staff.passwords as pw
NASTY=["", " ", "9"*5000, "-1", "0","1","99999999999","99999999999999999999", "1e309", "２", "x"*100_000, "\u202e<b>", "null", "[]", "%00", "../..", "'; --", "\r\nSet-Cookie: x=1",
 "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00","2026-W01-1T00:00+00:00","0001-01-01", "+1","1_000", "\x0b\x7f\ufeff", "\U0010ffff", "keep","done","theirs"]
def test_x(app, database, session, monkeypatch, fast_hashes):
    app.config["PROPAGATE_EXCEPTIONS"]=False
    app.testing=False
    app.config["WTF_CSRF_ENABLED"]=False
    monkeypatch.setattr("dashboard.staff.sign_in.LIMIT", 10**9, raising=False)
    import dashboard.web.errors as E
    seen=collections.Counter()
    last=[]
    class L:
        def exception(self,*a,**k): last.append(k)
        def __getattr__(self,n): return lambda *a,**k: None
    monkeypatch.setattr(E,"log",L())
    world = furnish(session)
    client = app.test_client()
    sign_in_as(client, database, Role.ADMIN)
    forms = every_form(client, world)
    print(len(forms))
    print("routes without a form:", sorted({r.endpoint for r,p in world.posts(app)}-{app.url_map.bind("localhost").match(f.action, method="POST")[0] for f in forms.values()}))
    t=time.time(); n=0
    statuses=collections.Counter()
    slow=collections.Counter()
    for form in forms.values():
        for name in form.names:
            for nasty in NASTY:
                for htmx in ({}, {"HX-Request":"true","HX-Request-Type":"partial"}):
                    t0=time.time()
                    a=client.post(form.action, data={k:v for k,v in form.sent(**{name:nasty})}, headers=htmx)
                    slow[form.action]+=time.time()-t0
                    n+=1
                    statuses[a.status_code]+=1
                    if a.status_code==303 and a.location.startswith("/sign-in"): sign_in_as(client, database, Role.ADMIN)
                    if a.status_code>=500:
                        k=(form.action,name,repr(last[-1].get("exc_info")) if last else "")
                        if not seen[k]: print("500", form.action, name, repr(nasty[:40]), k[2][:300])
                        seen[k]+=1
    print(n, time.time()-t, statuses)
    print(slow.most_common(12))
