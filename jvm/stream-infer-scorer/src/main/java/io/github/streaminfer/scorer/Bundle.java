package io.github.streaminfer.scorer;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.zip.ZipException;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.NameValidator;
import org.apache.avro.Schema;

/**
 * A bundle that is whole: every listed file has the size and checksum that {@code bundle.json} says, the graph uses
 * standard operators only, and every byte that the runtime could ask for is listed. Whether the model answers as it
 * should is proven afterwards, by {@link GoldenProof}.
 */
final class Bundle {
    /** Largest {@code bundle.json} that is read. It is the one file whose size nothing announces. */
    private static final int MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

    private static final char[] HEX = "0123456789abcdef".toCharArray();

    /** Where it was read from, for messages. */
    final String source;

    final Manifest manifest;
    /** SHA-256 of {@code bundle.json}. */
    final String digest;
    /** The files by their path, without those of external tensors. */
    final Map<String, byte[]> files;
    /** The graph on disk, where it must be opened by path because its tensors lie in other files; else null. */
    final Path modelPath;
    /** The reader's view of an event. */
    final Schema inputSchema;

    private Bundle(String source, Manifest manifest, String digest, Map<String, byte[]> files, Path modelPath) {
        this.source = source;
        this.manifest = manifest;
        this.digest = digest;
        this.files = files;
        this.modelPath = modelPath;
        this.inputSchema = inputSchema(files.get(Manifest.INPUT_SCHEMA), source);
    }

    /** Reads a jar or a directory. */
    static Bundle load(Path path) {
        return load(path.toString(), () -> Files.isDirectory(path) ? DirectoryTree.open(path) : JarTree.open(path));
    }

    /** Reads a model on a class path. */
    static Bundle load(ClassLoader loader, String model) {
        return load("the model " + model + " on the class path", () -> ClassPathTree.open(loader, model));
    }

    private static Bundle load(String source, TreeOpener opener) {
        try (BundleTree tree = opener.open()) {
            return load(tree, source);
        } catch (NoSuchFileException absent) {
            throw new BundleException("there is no model bundle at " + source + "; check the path", absent);
        } catch (ZipException damaged) {
            throw new BundleException(
                    source + " is not a readable zip file (" + damaged.getMessage() + "); copy or export it again",
                    damaged);
        } catch (IOException failure) {
            String reason = failure instanceof FileSystemException
                    ? String.valueOf(((FileSystemException) failure).getReason())
                    : failure.getMessage();
            throw new BundleException(source + " cannot be read: " + reason, failure);
        }
    }

    private static Bundle load(BundleTree tree, String source) throws IOException {
        byte[] data = manifestBytes(tree, source);
        Manifest manifest = ManifestReader.read(data, source);
        String graph = manifest.onnx.file;
        Map<String, byte[]> files = new HashMap<>();
        files.put(graph, readListed(tree, manifest, graph, source));
        Set<String> external = checkGraph(files.get(graph), manifest, source);
        checkExternal(external, tree, manifest, source);
        for (String name : new TreeSet<>(manifest.files.keySet())) {
            if (external.contains(name)) {
                verifyListed(tree, manifest, name, source);
            } else if (!name.equals(graph)) {
                files.put(name, readListed(tree, manifest, name, source));
            }
        }
        Path modelPath = external.isEmpty() ? null : tree.folder().resolve(graph);
        return new Bundle(source, manifest, hex(sha256().digest(data)), files, modelPath);
    }

    private static byte[] manifestBytes(BundleTree tree, String source) throws IOException {
        long size = tree.size(Manifest.FILE);
        if (size < 0) {
            throw new BundleException(source + " holds no " + Manifest.FILE + "; is it a model bundle?");
        }
        if (size > MAX_MANIFEST_BYTES) {
            throw new BundleException(source + ": " + Manifest.FILE + " has " + size + " bytes; at most "
                    + MAX_MANIFEST_BYTES + " are read");
        }
        try (InputStream file = tree.open(Manifest.FILE)) {
            return file.readNBytes(MAX_MANIFEST_BYTES);
        }
    }

    /** A file's bytes. Those very bytes are checked, so that a file changed meanwhile is noticed. */
    private static byte[] readListed(BundleTree tree, Manifest manifest, String name, String source)
            throws IOException {
        Manifest.FileEntry entry = entry(tree, manifest, name, source);
        if (entry.size > Integer.MAX_VALUE - 16) {
            throw new BundleException(source + ": " + name + " has " + entry.size
                    + " bytes, more than Java reads at once; keep its tensors in other files");
        }
        byte[] data;
        try (InputStream file = tree.open(name)) {
            data = file.readNBytes((int) entry.size + 1);
        }
        checkSum(hex(sha256().digest(data)), entry, source + ": " + name);
        return data;
    }

    /** Checks a file that may be too large to hold in memory. */
    private static void verifyListed(BundleTree tree, Manifest manifest, String name, String source)
            throws IOException {
        Manifest.FileEntry entry = entry(tree, manifest, name, source);
        MessageDigest sum = sha256();
        try (InputStream file = new DigestInputStream(tree.open(name), sum)) {
            byte[] chunk = new byte[1024 * 1024];
            while (file.read(chunk) >= 0) {
                // The stream sums up what is read.
            }
        }
        checkSum(hex(sum.digest()), entry, source + ": " + name);
    }

    private static Manifest.FileEntry entry(BundleTree tree, Manifest manifest, String name, String source)
            throws IOException {
        Manifest.FileEntry entry = manifest.files.get(name);
        long size = tree.size(name);
        if (size < 0) {
            throw new BundleException(
                    source + ": " + name + " is listed in " + Manifest.FILE + " but absent; copy or export it again");
        }
        if (size != entry.size) {
            throw new BundleException(source + ": " + name + " has " + size + " bytes but " + Manifest.FILE + " says "
                    + entry.size + "; copy or export it again");
        }
        return entry;
    }

    private static void checkSum(String found, Manifest.FileEntry entry, String place) {
        if (!found.equals(entry.sha256)) {
            throw new BundleException(place + " does not have the checksum that " + Manifest.FILE
                    + " says; copy or export it again");
        }
    }

    /** Compares the graph's facts with the manifest's; the files of its external tensors, by path in the bundle. */
    private static Set<String> checkGraph(byte[] model, Manifest manifest, String source) {
        String place = source + ": " + manifest.onnx.file;
        GraphFacts facts = GraphFacts.read(model, place);
        String refusal = facts.refusal(manifest.onnx.hasContribOps);
        if (refusal != null) {
            throw new BundleException(place + " is refused: " + refusal);
        }
        if (!facts.agreesWith(manifest.onnx)) {
            throw new BundleException(
                    place + " has other operators or versions than " + Manifest.FILE + " says; export it again");
        }
        String folder = manifest.onnx.file.substring(0, manifest.onnx.file.lastIndexOf('/') + 1);
        Set<String> external = new TreeSet<>();
        for (String location : facts.externalData) {
            if (!ManifestRules.isSafePath(location)) {
                throw new BundleException(
                        place + " is refused: it reads tensors from '" + location + "', outside the bundle");
            }
            external.add(folder + location);
        }
        return external;
    }

    private static void checkExternal(Set<String> external, BundleTree tree, Manifest manifest, String source) {
        for (String name : external) {
            if (!manifest.files.containsKey(name)) {
                throw new BundleException(source + ": " + manifest.onnx.file + " reads tensors from '" + name
                        + "', which " + Manifest.FILE + " does not list; export the model again");
            }
        }
        if (!external.isEmpty() && tree.folder() == null) {
            throw new BundleException(source + ": " + manifest.onnx.file
                    + " keeps tensors in other files, which needs the directory form; unpack it");
        }
    }

    private static Schema inputSchema(byte[] data, String source) {
        String place = source + ": " + Manifest.INPUT_SCHEMA;
        try {
            // Names are those of the events, whatever their producer allows.
            Schema schema = new Schema.Parser(NameValidator.NO_VALIDATION)
                    .setValidateDefaults(false)
                    .parse(new String(data, StandardCharsets.UTF_8));
            if (schema.getType() == Schema.Type.RECORD) {
                return schema;
            }
        } catch (AvroRuntimeException invalid) {
            throw new BundleException(
                    place + " is not JSON, or no schema of Avro; export the model again", invalid);
        }
        throw new BundleException(place + " is not an Avro record; export the model again");
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java platform has SHA-256", impossible);
        }
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder(2 * bytes.length);
        for (byte each : bytes) {
            text.append(HEX[each >> 4 & 0xF]).append(HEX[each & 0xF]);
        }
        return text.toString();
    }

    /** Finds the files. */
    private interface TreeOpener {
        BundleTree open() throws IOException;
    }
}
