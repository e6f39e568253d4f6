package io.github.streaminfer.scorer;

import java.io.ByteArrayInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A bundle whose jar or directory is on a class path. */
final class ClassPathTree implements BundleTree {
    private final URL manifest;
    private final Map<String, byte[]> read = new HashMap<>();

    private ClassPathTree(URL manifest) {
        this.manifest = manifest;
    }

    /** Finds a model by its name. */
    static ClassPathTree open(ClassLoader loader, String model) throws IOException {
        String resource = FOLDER + model + "/" + Manifest.FILE;
        List<URL> found = Collections.list(loader.getResources(resource));
        if (found.isEmpty()) {
            throw new BundleException(
                    "there is no " + resource + " on the class path; add the bundle of the model to it");
        }
        if (found.size() > 1) {
            throw new BundleException("the class path holds the model " + model + " more than once (" + found.get(0)
                    + " and " + found.get(1) + "); leave one");
        }
        return new ClassPathTree(found.get(0));
    }

    @Override
    public long size(String path) throws IOException {
        byte[] bytes = bytes(path);
        return bytes == null ? -1 : bytes.length;
    }

    @Override
    public InputStream open(String path) throws IOException {
        return new ByteArrayInputStream(bytes(path));
    }

    /** The files of a class path announce no size, so they are read to be asked for it. */
    private byte[] bytes(String path) throws IOException {
        if (!read.containsKey(path)) {
            URLConnection connection = new URL(manifest, path).openConnection();
            // A cached connection would keep the jar open for the life of the JVM.
            connection.setUseCaches(false);
            try (InputStream stream = connection.getInputStream()) {
                read.put(path, stream.readAllBytes());
            } catch (FileNotFoundException absent) {
                read.put(path, null);
            }
        }
        return read.get(path);
    }
}
