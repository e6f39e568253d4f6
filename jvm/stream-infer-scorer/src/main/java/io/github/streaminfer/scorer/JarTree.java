package io.github.streaminfer.scorer;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** A bundle as a zip. */
final class JarTree implements BundleTree {
    private final Path path;
    private final ZipFile archive;
    private final String prefix;
    private final Set<String> refused;

    private JarTree(Path path, ZipFile archive, String prefix, Set<String> refused) {
        this.path = path;
        this.archive = archive;
        this.prefix = prefix;
        this.refused = refused;
    }

    /** Finds the one model in a zip. */
    static JarTree open(Path path) throws IOException {
        Set<String> names = new HashSet<>();
        Set<String> refused = new HashSet<>();
        List<String> models = new ArrayList<>();
        for (ZipDirectory.Entry entry : ZipDirectory.read(path)) {
            if (!names.add(entry.name)) {
                throw new BundleException(path + " holds '" + entry.name + "' more than once; export it again");
            }
            if (entry.isLinkOrEncrypted) {
                refused.add(entry.name);
            }
            String[] parts = entry.name.split("/");
            if (parts.length == 4 && entry.name.startsWith(FOLDER) && parts[3].equals(Manifest.FILE)) {
                models.add(parts[2]);
            }
        }
        models.sort(null);
        String prefix = FOLDER + DirectoryTree.only(models, path) + "/";
        return new JarTree(path, new ZipFile(path.toFile()), prefix, refused);
    }

    @Override
    public long size(String name) {
        if (refused.contains(prefix + name)) {
            throw new BundleException(path + ": " + name + " is a link or encrypted; write the bundle again");
        }
        ZipEntry entry = archive.getEntry(prefix + name);
        return entry == null || entry.isDirectory() ? -1 : entry.getSize();
    }

    @Override
    public InputStream open(String name) throws IOException {
        return archive.getInputStream(archive.getEntry(prefix + name));
    }

    @Override
    public void close() throws IOException {
        archive.close();
    }
}
