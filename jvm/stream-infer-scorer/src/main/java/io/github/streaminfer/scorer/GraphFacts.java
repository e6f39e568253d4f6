package io.github.streaminfer.scorer;

import io.github.streaminfer.scorer.Protobuf.Damaged;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * What an ONNX file says of itself, read before the runtime sees a byte of it. The walk follows only the fields that can
 * name an operator or a file, and visits every occurrence of a repeated one: it may see more than the runtime, never
 * less. The numbers are those of onnx.proto.
 */
final class GraphFacts {
    /** Deepest nesting of graphs in {@code If}, {@code Loop} and {@code Scan}. Real models stay below 5. */
    private static final int MAX_NESTING = 32;

    private static final Set<String> STANDARD = Set.of("", "ai.onnx", "ai.onnx.ml");
    private static final String CONTRIB = "com.microsoft.";
    private static final Set<String> RANDOM = Set.of(
            "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike");

    /** Version by domain. */
    final Map<String, Long> opset = new HashMap<>();
    /** Files of tensors, as the graph spells them. */
    final Set<String> externalData = new TreeSet<>();

    long ir;
    /** Operators as {@code bundle.json} lists them: with the domain only where it is not a standard one. */
    private final Set<String> ops = new TreeSet<>();
    private final Set<String> foreign = new TreeSet<>();
    private final Set<String> random = new TreeSet<>();

    private GraphFacts() {}

    /**
     * Walks a model.
     *
     * @param place of the file, for messages
     * @throws BundleException the bytes are not an ONNX model
     */
    static GraphFacts read(byte[] model, String place) {
        GraphFacts facts = new GraphFacts();
        try {
            facts.model(new Protobuf(model));
        } catch (Damaged damaged) {
            throw new BundleException(
                    place + " is not a valid ONNX model (" + damaged.getMessage() + "); export it again", damaged);
        }
        if (facts.opset.isEmpty() || facts.ops.isEmpty()) {
            throw new BundleException(
                    place + " is not a valid ONNX model (no operator set or no node); export it again");
        }
        return facts;
    }

    /** The operators, sorted. */
    List<String> ops() {
        return List.copyOf(ops);
    }

    /** Why the graph must not be loaded; null where it may. ONNX Runtime's own operators are allowed or not. */
    String refusal(boolean hasContribOps) {
        List<String> unknown = foreign.stream()
                .filter(name -> !(hasContribOps && name.startsWith(CONTRIB)))
                .collect(Collectors.toList());
        if (!unknown.isEmpty()) {
            return "it uses " + String.join(", ", unknown) + "; only operators of ai.onnx and ai.onnx.ml run everywhere: "
                    + "export it without runtime-specific optimisation or custom operators";
        }
        if (!random.isEmpty()) {
            return "it uses " + String.join(", ", random)
                    + ", so that its scores are not reproducible: remove the random operator";
        }
        return null;
    }

    /** True where the manifest says the same of versions and operators. */
    boolean agreesWith(Manifest.Onnx onnx) {
        return ir == onnx.ir && opset.equals(onnx.opset) && ops().equals(onnx.ops);
    }

    private void model(Protobuf model) throws Damaged {
        while (model.next()) {
            switch (model.field()) {
                case 1:
                    ir = model.number();
                    break;
                case 7:
                    graph(model.message(), 1);
                    break;
                case 8:
                    opsetImport(model.message());
                    break;
                case 20:
                    training(model.message());
                    break;
                case 25:
                    function(model.message());
                    break;
                default:
                    break;
            }
        }
    }

    private void opsetImport(Protobuf entry) throws Damaged {
        String domain = "";
        long version = 0;
        while (entry.next()) {
            if (entry.field() == 1) {
                domain = entry.text();
            } else if (entry.field() == 2) {
                version = entry.number();
            }
        }
        opset.merge(domain, version, Math::max);
    }

    private void training(Protobuf training) throws Damaged {
        while (training.next()) {
            if (training.field() == 1 || training.field() == 2) {
                graph(training.message(), 1);
            }
        }
    }

    private void function(Protobuf function) throws Damaged {
        while (function.next()) {
            if (function.field() == 7) {
                node(function.message(), 1);
            } else if (function.field() == 11) {
                attribute(function.message(), 1);
            }
        }
    }

    private void graph(Protobuf graph, int depth) throws Damaged {
        if (depth > MAX_NESTING) {
            throw new Damaged("graphs are nested deeper than " + MAX_NESTING);
        }
        while (graph.next()) {
            if (graph.field() == 1) {
                node(graph.message(), depth);
            } else if (graph.field() == 5) {
                tensor(graph.message());
            } else if (graph.field() == 15) {
                sparseTensor(graph.message());
            }
        }
    }

    private void node(Protobuf node, int depth) throws Damaged {
        String operator = "";
        String domain = "";
        while (node.next()) {
            if (node.field() == 4) {
                operator = node.text();
            } else if (node.field() == 7) {
                domain = node.text();
            } else if (node.field() == 5) {
                attribute(node.message(), depth);
            }
        }
        boolean isStandard = STANDARD.contains(domain);
        ops.add(isStandard ? operator : domain + "." + operator);
        if (!isStandard) {
            foreign.add(domain + "." + operator);
        }
        if (RANDOM.contains(operator)) {
            random.add(operator);
        }
    }

    private void attribute(Protobuf attribute, int depth) throws Damaged {
        while (attribute.next()) {
            switch (attribute.field()) {
                case 5:
                case 10:
                    tensor(attribute.message());
                    break;
                case 6:
                case 11:
                    graph(attribute.message(), depth + 1);
                    break;
                case 22:
                case 23:
                    sparseTensor(attribute.message());
                    break;
                default:
                    break;
            }
        }
    }

    private void sparseTensor(Protobuf sparse) throws Damaged {
        while (sparse.next()) {
            if (sparse.field() == 1 || sparse.field() == 2) {
                tensor(sparse.message());
            }
        }
    }

    private void tensor(Protobuf tensor) throws Damaged {
        boolean isExternal = false;
        String location = "";
        while (tensor.next()) {
            if (tensor.field() == 13) {
                isExternal = true;
                String named = location(tensor.message());
                location = named == null ? location : named;
            } else if (tensor.field() == 14) {
                isExternal |= tensor.number() == 1;
            }
        }
        if (isExternal) {
            externalData.add(location);
        }
    }

    /** The value of an entry whose key is {@code location}; null for another entry. */
    private static String location(Protobuf entry) throws Damaged {
        String key = "";
        String value = "";
        while (entry.next()) {
            if (entry.field() == 1) {
                key = entry.text();
            } else if (entry.field() == 2) {
                value = entry.text();
            }
        }
        return key.equals("location") ? value : null;
    }
}
