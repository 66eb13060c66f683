import collections, time, io
from tests.security.world import *
from tests.staff.signed_in import sign_in_as
FORM="application/x-www-form-urlencoded"
MP="multipart/form-data; boundary=b"
def mp(*parts): return b"".join(b"--b\r\n"+p+b"\r\n" for p in parts)+b"--b--\r\n"
CD=b'Content-Disposition: form-data; name='
BODIES=[
 (FORM,b""),(FORM,b"&&&==&=&"),(FORM,b"a=%"),(FORM,b"a=%zz"),(FORM,b"\xff=\xfe"),(FORM,b"title=%00"),(FORM,b"%00=1"),(FORM,b"title=a&title=b&row_version=1&row_version=2&status=done&status=todo"),
 (FORM,b"&".join(b"x%d=1"%i for i in range(1001))),(FORM,b"&".join(b"x%d=1"%i for i in range(60000))),(FORM,b"title="+b"x"*900_000),(FORM,b"x"*1_100_000),
 (FORM+"; charset=utf-16",b"title=\xff\xfe"),(FORM+"; charset=nonsense",b"title=a"),("",b"title=a"),("application/json",b'{"title":1}'),("text/xml",b"<a/>"),("application/x-www-form-urlencoded, text/plain",b"a=1"),
 ("multipart/form-data",b"--b\r\n"),(MP,b""),(MP,b"--b"),(MP,mp(CD+b'"title"\r\n\r\nx')),(MP,mp(CD+b'"title"\r\n\r\n\xff\xfe')),(MP,mp(CD+b'"title"\r\n\r\na\0b')),(MP,mp(CD+b'"a\0b"\r\n\r\nx')),
 (MP,mp(CD+b'"status.\0"\r\n\r\nx')),(MP,mp(CD+b'"\xff"\r\n\r\nx')),
 (MP,mp(CD+b'"title"; filename="../../x"\r\nContent-Type: text/plain\r\n\r\nx')),(MP,mp(*[CD+b'"x%d"\r\n\r\ny'%i for i in range(1001)])),(MP,mp(b'X: y\r\n\r\nz')),(MP,mp(CD+b'"title"\r\nContent-Transfer-Encoding: base64\r\n\r\nx')),
 (MP,mp(CD+b'"title"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+ADw-')),(MP,mp(CD+b'"title"\r\nContent-Type: text/plain; charset=zlib\r\n\r\nx')),("multipart/form-data; boundary="+"b"*1000,b"x"),("multipart/form-data; boundary=\"\"",b"x"),("multipart/form-data; boundary=é",b"x"),
 (MP, b"--b\r\n"+b"A"*20000), (MP, b"--b\r\n"+b"A: b\r\n"*5000),
 ("multipart/mixed; boundary=b",mp(CD+b'"title"\r\n\r\nx')),
]
def test_y(app, database, session, monkeypatch, fast_hashes):
    app.config["PROPAGATE_EXCEPTIONS"]=False
    app.testing=False
    world = furnish(session)
    app.config["WTF_CSRF_ENABLED"]=False
    client = app.test_client()
    sign_in_as(client, database, Role.ADMIN)
    st=collections.Counter(); t=time.time()
    H=[{}, {"Content-Encoding":"gzip"},{"Expect":"100-continue"},{"X-HTTP-Method-Override":"DELETE"},{"Content-Length":"-1"},{"Content-Length":"x"}]
    for route,path in world.posts(app):
        for ct,b in BODIES:
            for env in ({},{"CONTENT_LENGTH":"","wsgi.input_terminated":True},{"CONTENT_LENGTH":"-1"},{"CONTENT_LENGTH":"x"},{"CONTENT_LENGTH":str(len(b)+10)}):
                if env and path!="/steps/set-up-payments/draft": continue
                a=client.post(path,data=b,content_type=ct,environ_overrides=env)
                st[(a.status_code)]+=1
                if a.status_code>=500 or "Content-Security-Policy" not in a.headers: print(path,ct,b[:60],env,a.status_code)
                if path=="/steps/set-up-payments/draft": print(a.status_code, ct, b[:40], env)
                sign_in_as(client, database, Role.ADMIN) if path=="/sign-out" else 0
    print(st,time.time()-t)
from tests.staff.conftest import fast_hashes
def test_log(capsys):
    import structlog
    from dashboard.web.requestlog import for_terminal, for_machines
    for p in (for_terminal()[0],):
        print(repr(p(None,"info",{"event":"request","path":"/a\nb \x1b[2J\x1b[31m forged\r\n\u202e","method":"GET\n"})))
