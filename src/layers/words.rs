//! The words that names of modules are made of: one row a word, with all that it may mean and who uses it so.
//!
//! The architectures are those of torchvision 0.28, timm 1.0, MONAI 1.6, the other libraries in fixtures/architectures, and
//! hand-written ones. Who uses a word so is an example to look at, collected by hand; nothing depends on it. A word has
//! meanings, never a model: what follows from a meaning is a rule of [`roles`](super::roles) or, where siblings or shapes take
//! part, of [`order`](super::order).

/// What a word may say of the module whose name holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Reads the network's input.
    Stem,
    /// A network that feeds the others.
    Backbone,
    /// Stands between encoder and decoder.
    Bottleneck,
    /// A decoder, or the upsampling that opens a step of one.
    Decoder,
    /// Runs after the last stage, before the head.
    Final,
    /// Turns features into classes.
    Head,
    /// Runs in training only, or beside the head.
    Auxiliary,
    /// Joins what its siblings give.
    Merge,
    /// Scales channels: squeeze-and-excite and its like.
    ChannelGate,
    /// Goes around a block's main path and runs last, as in PyTorch's own ResNet (`out += self.downsample(x)`).
    Shortcut,
    /// Goes around a block's main path and runs first (`self.proj(x) + self.f(x)`).
    FirstShortcut,
    /// Joins two stages: runs after the stage of the same number.
    Joint,
    /// A list whose members run side by side on one input.
    Parallel,
    /// Holds a second copy of the weights.
    NetworkCopy,
    /// A network of its own beside others: of a training set-up, of a pipeline, of a loss.
    Network,
    /// Gives an output beside the network's last layer: deep supervision, a detector's lists.
    Output,
    /// Its weight is a table or a recurrent cell's.
    Table,
    /// Has kernels, though another word says table (`patch_embed` may itself be the convolution that cuts the patches).
    Layer,
    /// A table of positions.
    Position,
    Bilinear,
    /// A tensor that is not named `weight` and holds no kernels.
    NoKernels,
    Transposed,
    /// Transposed if the kernel fits a stride of 2: an upsampling followed by a convolution is called so too.
    Upward,
    /// A strided convolution, if the kernel is even.
    Downward,
}

impl Meaning {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// What the words of a name say, taken together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meanings(u32);

impl Meanings {
    pub fn contain(self, meaning: Meaning) -> bool {
        self.0 & meaning.bit() != 0
    }

    /// Those of either of two words.
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Words that mean something in pairs only: MoCo's `encoder_q` and `encoder_k`, a GAN's `G` and `D`.
pub(super) const PAIRED: [[&str; 2]; 3] = [["q", "k"], ["query", "key"], ["g", "d"]];

/// Words that carry a dimension as part of themselves: `Conv2d_1a`, `norm3d`.
pub(super) const DIMENSIONED: [&str; 5] = ["conv", "norm", "pool", "dropout", "unet"];

macro_rules! table {
    ($($word:literal: $($meaning:ident)+;)+) => {
        /// What a word in lower case says; nothing if the table does not hold it.
        pub(super) fn meanings(word: &str) -> Meanings {
            match word {
                $($word => Meanings($(Meaning::$meaning.bit())|+),)+
                _ => Meanings::default(),
            }
        }
    };
}

// word             meanings                               who uses it so
table! {
    "anchor":         NoKernels;                            // YOLO
    "anchors":        NoKernels;                            // YOLO
    "aspp":           Parallel;                             // DeepLabV3
    "aux":            Auxiliary;                            // GoogLeNet, Inception, PSPNet
    "auxiliary":      Auxiliary;                            // UperNet
    "averaged":       NetworkCopy Network;                  // torch.optim.swa_utils
    "backbone":       Backbone;                             // torchvision FCN and DeepLabV3, Faster R-CNN, DETR
    "bbox":           Output;                               // Faster R-CNN, RetinaNet, DETR
    "biaffine":       Bilinear;                             // biaffine parsers
    "bias":           NoKernels;                            // relative position biases
    "bilin":          Bilinear;                             // hand-written bilinear forms
    "bilinear":       Bilinear;                             // nn.Bilinear
    "bottleneck":     Bottleneck;                           // MONAI DynUNet, InceptionTime
    "bottom":         Bottleneck;                           // MONAI RegUNet
    "branch":         Parallel;                             // Inception, GoogLeNet
    "branches":       Parallel;                             // HRNet
    "bridge":         Bottleneck;                           // hand-written U-Nets
    "buffer":         NoKernels;                            // registered buffers
    "cache":          NoKernels;                            // registered buffers
    "cat":            Merge;                                // hand-written U-Nets
    "cbam":           ChannelGate;                          // CBAM
    "center":         Bottleneck;                           // hand-written U-Nets
    "centre":         Bottleneck;                           // hand-written U-Nets
    "classification": Head;                                 // RetinaNet, FCOS, SSD
    "classifier":     Head;                                 // VGG, MobileNet, DenseNet
    "cls":            Head;                                 // Faster R-CNN, RetinaNet
    "concat":         Merge;                                // VoVNet
    "conf":           Parallel;                             // SSD in PyTorch (`loc`, `conf`)
    "conv":           Layer;                                // any
    "convin":         Stem;                                 // hand-written U-Nets
    "convs":          Parallel;                             // MONAI BasicUNet, SKNet
    "convt":          Transposed;                           // hand-written U-Nets
    "criterion":      Network;                              // training set-ups
    "critic":         Network;                              // WGAN
    "dconv":          Transposed;                           // hand-written U-Nets; ShuffleNet means depthwise
    "dec":            Decoder;                              // hand-written U-Nets
    "decode":         Decoder;                              // UperNet, MONAI AutoEncoder
    "decoder":        Decoder;                              // segmentation_models_pytorch, MONAI UNETR
    "decoders":       Decoder;                              // hand-written U-Nets
    "deconv":         Decoder;                              // CenterNet, MONAI SegResNet
    "deconvs":        Decoder;                              // hand-written U-Nets
    "decs":           Decoder;                              // hand-written U-Nets
    "disc":           Network;                              // GANs
    "discriminator":  Network;                              // GANs
    "down":           Joint Downward;                       // MONAI BasicUNet and VNet, U-Net
    "downs":          Downward;                             // hand-written U-Nets
    "downsample":     Shortcut Joint Downward;              // ResNet, ConvNeXt, Swin
    "eca":            ChannelGate;                          // ECA-Net
    "ema":            NetworkCopy Network;                  // moving averages
    "embed":          Table NoKernels;                      // ViT, Swin
    "embedding":      Table NoKernels;                      // MONAI UNETR, LeViT
    "embeddings":     Table NoKernels;                      // DETR, TransUNet
    "enc":            Downward;                             // hand-written U-Nets
    "encoder":        Downward;                             // segmentation_models_pytorch, MONAI UNETR
    "end":            Final;                                // hand-written U-Nets
    "ensemble":       NetworkCopy;                          // ensembles
    "entry":          Stem;                                 // Xception by hand
    "estimators":     NetworkCopy;                          // ensembles
    "excitation":     ChannelGate;                          // MaxViT
    "exit":           Final;                                // Xception by hand
    "expansive":      Decoder;                              // U-Net as in its paper
    "fc":             Head;                                 // ResNet, Inception
    "ffn":            Final;                                // RepViT
    "final":          Final;                                // MONAI DynUNet, EfficientNet
    "first":          Stem;                                 // ESRGAN
    "fold":           NetworkCopy;                          // cross-validation
    "folds":          NetworkCopy;                          // cross-validation
    "fpn":            Parallel;                             // feature pyramids, UperNet
    "fuse":           Merge Parallel;                       // HRNet, SegFormer
    "fusion":         Merge;                                // DPT, UperNet
    "gen":            Network;                              // GANs
    "generator":      NetworkCopy Network;                  // GANs
    "grid":           NoKernels;                            // sampling grids
    "gru":            Table;                                // nn.GRU
    "head":           Head;                                 // ViT, EfficientNet, ConvNeXt
    "heads":          Head Parallel;                        // CenterNet, detectors
    "heatmap":        Output;                               // hand-written CenterNets
    "identity":       Shortcut;                             // RepVGG-like blocks, pytorchcv ResNets
    "in":             Stem;                                 // MONAI VNet
    "inc":            Stem;                                 // U-Net (milesial)
    "inconv":         Stem;                                 // hand-written U-Nets
    "index":          NoKernels;                            // Swin (`relative_position_index`)
    "init":           Stem;                                 // MONAI SegResNet, pytorchcv
    "initial":        Stem;                                 // hand-written ENets
    "inner":          Parallel;                             // torchvision FPN
    "input":          Stem;                                 // MONAI DynUNet
    "intermediate":   Bottleneck;                           // hand-written U-Nets
    "last":           Final;                                // SENet, HGNet, ESRGAN
    "latent":         Bottleneck;                           // autoencoders
    "lateral":        Parallel;                             // UperNet, RT-DETR
    "layernorm":      Table;                                // DETR
    "linear":         Head;                                 // MONAI UNETR, SENet
    "loc":            Parallel;                             // spatial transformers, SSD in PyTorch
    "logit":          Output;                               // hand-written heads
    "logits":         Head Output;                          // Inception, VGG (timm)
    "loss":           Network;                              // training set-ups
    "lpips":          Network;                              // LPIPS
    "lstm":           Table;                                // nn.LSTM
    "mask":           NoKernels;                            // attention masks
    "mean":           NoKernels;                            // registered buffers
    "members":        NetworkCopy;                          // ensembles
    "merge":          Merge;                                // MONAI AttentionUnet
    "mid":            Bottleneck;                           // VoVNet, diffusion U-Nets
    "middle":         Bottleneck;                           // diffusion U-Nets
    "mlp":            Final;                                // transformers
    "model":          NetworkCopy;                          // wrappers
    "models":         NetworkCopy;                          // ensembles
    "module":         NetworkCopy;                          // DistributedDataParallel, AveragedModel
    "momentum":       NetworkCopy Network;                  // MoCo, BYOL
    "net":            NetworkCopy;                          // wrappers
    "netd":           Network;                              // pix2pix, DCGAN
    "netg":           Network;                              // pix2pix, DCGAN
    "nets":           NetworkCopy;                          // ensembles
    "networks":       NetworkCopy;                          // ensembles
    "norm":           Table NoKernels;                      // any
    "online":         NetworkCopy Network;                  // BYOL
    "out":            Final;                                // diffusion U-Nets
    "outc":           Final;                                // U-Net (milesial)
    "outconv":        Final;                                // U²-Net
    "output":         Final Output;                         // MONAI DynUNet
    "outputs":        Output;                               // hand-written heads
    "patch":          Stem Layer Downward;                  // ViT, Swin
    "patches":        Layer;                                // hand-written ViTs
    "path":           Parallel;                             // PNASNet
    "paths":          Parallel;                             // SKNet
    "perceptual":     Network;                              // training set-ups
    "pool":           Joint;                                // Inception, PSPNet, FCN
    "pos":            Table Position NoKernels;             // ViT, CoAtNet, Twins
    "position":       Table Position NoKernels;             // DETR
    "positional":     Table Position NoKernels;             // hand-written transformers
    "pred":           Output;                               // Faster R-CNN, Mask R-CNN
    "predict":        Output;                               // hand-written heads
    "prediction":     Head;                                 // HoVerNet
    "predictor":      Head Output;                          // Faster R-CNN, Mask R-CNN
    "prelogits":      Head;                                 // hand-written heads
    "proj":           FirstShortcut Layer Downward;         // ViT, torchvision RegNet and MaxViT
    "project":        FirstShortcut;                        // DLA, DeepLabV3
    "projection":     Layer;                                // PoolFormer, DETR
    "prompt":         NoKernels;                            // Segment Anything
    "queue":          NoKernels;                            // MoCo
    "rel":            Table Position NoKernels;             // CoAtNet
    "relative":       NoKernels;                            // Swin
    "residual":       FirstShortcut;                        // MONAI UNet
    "rnn":            Table;                                // nn.RNN
    "root":           Merge;                                // DLA, TransUNet
    "running":        NoKernels;                            // batch norm
    "scale":          NoKernels;                            // PoolFormer
    "score":          Output;                               // FCN-8s, RT-DETR
    "scores":         Output;                               // hand-written heads
    "se":             ChannelGate;                          // SENet, EfficientNet, MobileNetV3
    "seblock":        ChannelGate;                          // hand-written SE-ResNets
    "seg":            Output;                               // nnU-Net
    "segmentation":   Output;                               // segmentation_models_pytorch
    "selayer":        ChannelGate;                          // hand-written SE-ResNets
    "shadow":         NetworkCopy Network;                  // moving averages
    "shortcut":       Shortcut;                             // pre-activation and CIFAR ResNets
    "shortcuts":      Shortcut;                             // InceptionTime
    "side":           Final;                                // U²-Net
    "skip":           Shortcut;                             // Xception, nnU-Net
    "skips":          Shortcut;                             // hand-written U-Nets
    "squeezeexcite":  ChannelGate;                          // hand-written EfficientNets
    "start":          Stem;                                 // MobileNetV4
    "std":            NoKernels;                            // registered buffers
    "stem":           Stem Downward;                        // EfficientNet, ConvNeXt, RegNet
    "student":        NetworkCopy Network;                  // Mean Teacher, DINO
    "supervision":    Auxiliary Output;                     // MONAI DynUNet
    "swa":            NetworkCopy Network;                  // stochastic weight averaging
    "table":          NoKernels;                            // Swin (`relative_position_bias_table`)
    "tail":           Final;                                // EDSR
    "target":         NetworkCopy Network;                  // BYOL, DQN
    "tconv":          Decoder Transposed;                   // hand-written U-Nets
    "teacher":        NetworkCopy Network;                  // Mean Teacher, DINO
    "token":          Table NoKernels;                      // ViT (`cls_token`), Segment Anything
    "tokens":         Table NoKernels;                      // Segment Anything
    "tower":          Parallel;                             // FCOS
    "towers":         Parallel;                             // FCOS
    "transition":     Joint;                                // DenseNet, HRNet, CSPNet
    "transp":         Decoder Transposed;                   // MONAI DynUNet and UNETR
    "trunk":          Backbone;                             // torchvision RegNet
    "unet":           NetworkCopy Network;                  // diffusion pipelines
    "up":             Decoder Upward;                       // U-Net, MONAI AHNet
    "upblock":        Decoder;                              // hand-written U-Nets
    "upblocks":       Decoder;                              // hand-written U-Nets
    "upcat":          Decoder;                              // MONAI BasicUNet
    "upconv":         Decoder;                              // MONAI AttentionUnet
    "upconvs":        Decoder;                              // hand-written U-Nets
    "uplayer":        Decoder;                              // xrv ResNetAE
    "uplayers":       Decoder;                              // hand-written U-Nets
    "ups":            Decoder Upward;                       // hand-written U-Nets
    "upsample":       Decoder Upward;                       // MONAI BasicUNet, SegResNet
    "upsamples":      Decoder Upward;                       // MONAI DynUNet
    "upsampling":     Decoder Upward;                       // hand-written U-Nets
    "upscale":        Decoder Upward;                       // super-resolution
    "vae":            Network;                              // diffusion pipelines
    "var":            NoKernels;                            // registered buffers
    "visual":         Backbone;                             // CLIP
    "vit":            Backbone;                             // MONAI UNETR
    "wpe":            Table;                                // GPT-2
    "wte":            Table;                                // GPT-2
}
