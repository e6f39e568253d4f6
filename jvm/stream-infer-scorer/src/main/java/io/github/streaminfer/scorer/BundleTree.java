package io.github.streaminfer.scorer;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;

/** The files of one model's folder, by their paths in it. Nothing outside the folder can be reached. */
interface BundleTree extends AutoCloseable {
    /** Where a bundle's folder lies, so that several bundles can share a class path. */
    String FOLDER = "META-INF/stream-infer/";

    /**
     * Bytes of a file; -1 where there is none.
     *
     * @throws BundleException it is a link, or encrypted
     */
    long size(String path) throws IOException;

    /** A file that exists. Ask for its size first: that refuses links. */
    InputStream open(String path) throws IOException;

    /** The folder itself; null where it is not a directory. */
    default Path folder() {
        return null;
    }

    @Override
    default void close() throws IOException {}
}
