"""Prints what LibreOffice says of the signatures of each file."""
import subprocess, sys, tempfile, time, os
import uno

folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
profile = folder.name
pipe = "countersign%d" % os.getpid()
office = subprocess.Popen(["soffice", "--headless", "--norestore", "-env:UserInstallation=file://" + profile,
                           "--accept=pipe,name=%s;urp" % pipe], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    local = uno.getComponentContext()
    resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
    for _ in range(600):
        try:
            ctx = resolver.resolve("uno:pipe,name=%s;urp;StarOffice.ComponentContext" % pipe)
            break
        except Exception:
            time.sleep(0.1)
    make = lambda name: ctx.ServiceManager.createInstanceWithContext(name, ctx)
    files, signatures = make("com.sun.star.ucb.SimpleFileAccess"), make("com.sun.star.security.DocumentDigitalSignatures")
    for path in sys.argv[1:]:
        stream = files.openFileRead("file://" + os.path.abspath(path))
        for s in signatures.verifyDocumentContentSignatures(None, stream):
            print("%s: valid=%s partial=%s" % (os.path.basename(path), s.SignatureIsValid, s.PartialDocumentSignature))
        stream.closeInput()
finally:
    office.terminate()
    office.wait(20)
