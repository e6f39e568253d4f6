package io.github.streaminfer.scorer;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A bundle as a directory. */
final class DirectoryTree implements BundleTree {
    private final Path folder;

    private DirectoryTree(Path folder) {
        this.folder = folder;
    }

    /** Finds the model's folder in a directory: the bundle's, or the model's folder itself. */
    static DirectoryTree open(Path path) throws IOException {
        if (Files.exists(path.resolve(Manifest.FILE))) {
            return new DirectoryTree(path);
        }
        Path parent = path.resolve(FOLDER);
        List<String> models = List.of();
        if (Files.isDirectory(parent)) {
            try (Stream<Path> children = Files.list(parent)) {
                models = children.filter(child -> Files.exists(child.resolve(Manifest.FILE)))
                        .map(child -> child.getFileName().toString())
                        .sorted()
                        .collect(Collectors.toList());
            }
        }
        return new DirectoryTree(parent.resolve(only(models, path)));
    }

    /** The one model of a bundle. */
    static String only(List<String> models, Path path) {
        if (models.isEmpty()) {
            throw new BundleException(path + " holds no " + FOLDER + "<model>/" + Manifest.FILE
                    + "; is it a model bundle?");
        }
        if (models.size() > 1) {
            throw new BundleException(
                    path + " holds several models (" + String.join(", ", models) + "); one bundle holds one");
        }
        return models.get(0);
    }

    @Override
    public long size(String path) throws IOException {
        Path step = folder;
        for (String part : path.split("/")) {
            step = step.resolve(part);
            if (Files.isSymbolicLink(step)) {
                throw new BundleException(step + " is a symbolic link; copy the file itself into the bundle");
            }
        }
        return Files.isRegularFile(step) ? Files.size(step) : -1;
    }

    @Override
    public InputStream open(String path) throws IOException {
        return Files.newInputStream(folder.resolve(path));
    }

    @Override
    public Path folder() {
        return folder;
    }
}
