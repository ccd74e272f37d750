import java.io.File;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.List;

import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.ExtendedKeyUsage;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.asn1.x509.KeyPurposeId;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.DigestCalculator;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.TSPAlgorithms;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampRequestGenerator;
import org.bouncycastle.tsp.TimeStampResponse;
import org.bouncycastle.tsp.TimeStampResponseGenerator;
import org.bouncycastle.tsp.TimeStampTokenGenerator;
import org.bouncycastle.tsp.ers.ERSArchiveTimeStamp;
import org.bouncycastle.tsp.ers.ERSArchiveTimeStampGenerator;
import org.bouncycastle.tsp.ers.ERSByteData;
import org.bouncycastle.tsp.ers.ERSData;
import org.bouncycastle.tsp.ers.ERSEvidenceRecord;
import org.bouncycastle.tsp.ers.ERSEvidenceRecordGenerator;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;

// ERS checks our evidence records with Bouncy Castle, and makes some for us.
//   java ERS.java check <record> <object> ...    prints "ok" or "bad: why" per pair
//   java ERS.java make <dir>                     writes root.der, objects and records
public class ERS {
    static DigestCalculatorProvider digests;

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        digests = new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
        if (args[0].equals("make")) {
            make(new File(args[1]));
            return;
        }
        for (int i = 1; i < args.length; i += 2) {
            try {
                ERSEvidenceRecord r = new ERSEvidenceRecord(Files.readAllBytes(Paths.get(args[i])), digests);
                r.validatePresent(new ERSByteData(Files.readAllBytes(Paths.get(args[i + 1]))), new Date());
                r.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(r.getSigningCertificate()));
                System.out.println("ok");
            } catch (Exception e) {
                System.out.println("bad: " + e.getMessage());
            }
        }
    }

    static KeyPair key() throws Exception {
        KeyPairGenerator g = KeyPairGenerator.getInstance("EC", "BC");
        g.initialize(256);
        return g.generateKeyPair();
    }

    static void write(File dir, String name, byte[] b) throws Exception {
        Files.write(new File(dir, name).toPath(), b);
    }

    static KeyPair rootKey, tsaKey;
    static X509Certificate root, tsa;
    static long serial = 100, clock = System.currentTimeMillis() - 3600_000;

    static TimeStampResponse answer(TimeStampRequest q) throws Exception {
        TimeStampTokenGenerator tokens = new TimeStampTokenGenerator(
            new JcaSimpleSignerInfoGeneratorBuilder().setProvider("BC").build("SHA256withECDSA", tsaKey.getPrivate(), tsa),
            digests.get(new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256)), new ASN1ObjectIdentifier("1.2.3.4.1"));
        tokens.addCertificates(new JcaCertStore(Arrays.asList(tsa)));
        clock += 60_000;
        return new TimeStampResponseGenerator(tokens, TSPAlgorithms.ALLOWED).generate(q, BigInteger.valueOf(serial++), new Date(clock));
    }

    static TimeStampRequestGenerator ask() {
        TimeStampRequestGenerator g = new TimeStampRequestGenerator();
        g.setCertReq(true);
        return g;
    }

    static void make(File dir) throws Exception {
        Date from = new Date(System.currentTimeMillis() - 86400_000L), to = new Date(System.currentTimeMillis() + 10 * 86400_000L);
        rootKey = key();
        X500Name rootName = new X500Name("CN=ERS root TEST ONLY");
        X509v3CertificateBuilder b = new JcaX509v3CertificateBuilder(rootName, BigInteger.ONE, from, to, rootName, rootKey.getPublic());
        b.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
        JcaX509CertificateConverter convert = new JcaX509CertificateConverter().setProvider("BC");
        root = convert.getCertificate(b.build(new JcaContentSignerBuilder("SHA256withECDSA").setProvider("BC").build(rootKey.getPrivate())));
        tsaKey = key();
        b = new JcaX509v3CertificateBuilder(rootName, BigInteger.TWO, from, to, new X500Name("CN=ERS TSA TEST ONLY"), tsaKey.getPublic());
        b.addExtension(Extension.extendedKeyUsage, true, new ExtendedKeyUsage(KeyPurposeId.id_kp_timeStamping));
        tsa = convert.getCertificate(b.build(new JcaContentSignerBuilder("SHA256withECDSA").setProvider("BC").build(rootKey.getPrivate())));
        write(dir, "root.der", root.getEncoded());

        DigestCalculator sha256 = digests.get(new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha256));
        DigestCalculator sha512 = digests.get(new AlgorithmIdentifier(NISTObjectIdentifiers.id_sha512));
        for (int n : new int[] {1, 2, 3, 5, 8}) {
            ERSArchiveTimeStampGenerator g = new ERSArchiveTimeStampGenerator(sha256);
            List<ERSData> data = new ArrayList<>();
            for (int i = 0; i < n; i++) {
                byte[] object = ("object " + i + " of " + n).getBytes();
                write(dir, n + "-" + i + ".object", object);
                data.add(new ERSByteData(object));
            }
            g.addAllData(data);
            TimeStampRequest q = g.generateTimeStampRequest(ask());
            List<ERSArchiveTimeStamp> stamps = g.generateArchiveTimeStamps(answer(q));
            List<ERSEvidenceRecord> records = new ERSEvidenceRecordGenerator(digests).generate(stamps);
            for (ERSEvidenceRecord r : records) {
                for (int i = 0; i < n; i++) {
                    if (!r.isContaining(data.get(i), new Date())) {
                        continue;
                    }
                    write(dir, n + "-" + i + ".first", r.getEncoded());
                    ERSEvidenceRecord again = r.renewTimeStamp(answer(r.generateTimeStampRenewalRequest(ask())));
                    write(dir, n + "-" + i + ".again", again.getEncoded());
                    ERSEvidenceRecord hash = again.renewHash(sha512, data.get(i), answer(again.generateHashRenewalRequest(sha512, data.get(i), ask())));
                    write(dir, n + "-" + i + ".hash", hash.getEncoded());
                    ERSEvidenceRecord last = hash.renewTimeStamp(answer(hash.generateTimeStampRenewalRequest(ask())));
                    write(dir, n + "-" + i + ".last", last.getEncoded());
                }
            }
        }
    }
}
