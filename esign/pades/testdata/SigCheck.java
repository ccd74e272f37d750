import java.io.File;
import java.io.FileInputStream;
import java.nio.file.Files;
import java.security.Security;
import java.security.cert.X509Certificate;

import org.apache.pdfbox.pdmodel.PDDocument;
import org.apache.pdfbox.pdmodel.interactive.digitalsignature.PDSignature;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.util.Selector;

// SigCheck prints, for every signature of every file named, whether Bouncy
// Castle verifies it and whether it ends at the end of the file.
public class SigCheck {
    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        for (String name : args) {
            int split = name.indexOf('|'); // file or file|password
            String file = split < 0 ? name : name.substring(0, split);
            String password = split < 0 ? "" : name.substring(split + 1);
            byte[] all = Files.readAllBytes(new File(file).toPath());
            try (PDDocument doc = PDDocument.load(new File(file), password)) {
                for (PDSignature sig : doc.getSignatureDictionaries()) {
                    String line;
                    try {
                        line = check(sig, all);
                    } catch (Exception e) {
                        line = "error=" + e;
                    }
                    System.out.println(new File(file).getName() + ": " + line);
                }
            } catch (Exception e) {
                System.out.println(new File(file).getName() + ": unreadable=" + e);
            }
        }
    }

    static String check(PDSignature sig, byte[] all) throws Exception {
        int[] range = sig.getByteRange();
        byte[] content = sig.getSignedContent(all);
        boolean whole = range[2] + range[3] == all.length;
        CMSSignedData cms = new CMSSignedData(new CMSProcessableByteArray(content), sig.getContents(all));
        SignerInformation signer = cms.getSignerInfos().getSigners().iterator().next();
        @SuppressWarnings("unchecked")
        Selector<X509CertificateHolder> sid = signer.getSID();
        X509CertificateHolder cert = (X509CertificateHolder) cms.getCertificates().getMatches(sid).iterator().next();
        boolean ok = signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(cert));
        return "verify=" + ok + " whole=" + whole;
    }
}
